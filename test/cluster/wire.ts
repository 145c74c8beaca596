import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';

/** A TCP connection to somewhere that the test can cut: what is under way is lost, and nothing gets through until `mend`. */
export class Wire {
  private constructor(
    readonly port: number,
    private readonly open: ReadonlySet<Socket>,
    private readonly state: { cut: boolean },
    private readonly stop: () => void,
  ) {}

  static async to(host: string, port: number): Promise<Wire> {
    const open = new Set<Socket>();
    const state = { cut: false };
    const server = createServer(near => {
      if (state.cut) return void near.destroy();
      const far = connect(port, host);
      for (const [a, b] of [
        [near, far],
        [far, near],
      ] as const) {
        open.add(a);
        a.on('error', () => {});
        a.on('close', () => {
          open.delete(a);
          b.destroy();
        });
        a.pipe(b);
      }
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    return new Wire((server.address() as AddressInfo).port, open, state, () => server.close());
  }

  cut(): void {
    this.state.cut = true;
    for (const socket of this.open) socket.resetAndDestroy();
  }

  mend(): void {
    this.state.cut = false;
  }

  close(): void {
    this.cut();
    this.stop();
  }
}
