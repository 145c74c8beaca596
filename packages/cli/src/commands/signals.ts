/** Calls `handler` for SIGINT and SIGTERM with how often one has come; the returned function stops that. */
export function onSignals(handler: (signal: 'SIGINT' | 'SIGTERM', times: number) => void): () => void {
  let times = 0;
  const listeners = (['SIGINT', 'SIGTERM'] as const).map(signal => {
    const listener = () => handler(signal, ++times);
    process.on(signal, listener);
    return () => process.off(signal, listener);
  });
  return () => {
    for (const stop of listeners) stop();
  };
}

/** The exit status that shells give for a process ended by a signal. */
export function signalStatus(signal: 'SIGINT' | 'SIGTERM'): number {
  return signal === 'SIGINT' ? 130 : 143;
}
