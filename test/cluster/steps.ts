import { expect } from 'vitest';

/** Every rank of the guest `steps` said every step, once, in order: no thread was lost, none ran twice. */
export function expectWhole(stdout: string, n: number): void {
  for (let rank = 0; rank < n; rank++) {
    const said = [...stdout.matchAll(new RegExp(`^rank ${rank} of ${n} step (\\d+)$`, 'gm'))].map(match =>
      Number(match[1]),
    );
    expect(said.length).toBeGreaterThan(5);
    expect(said).toEqual(said.map((_, i) => i));
  }
}
