/**
 * The matrix of heat conduction in a cube of side³ trilinear finite elements of size 1, its outer surface at a fixed temperature, as a
 * Matrix Market file: rows are the (side - 1)³ inner nodes. It is the sum of three products of the one-dimensional stiffness and mass
 * matrices, tridiagonal with 2, -1 and 4/6, 1/6.
 */
export function heatInCube(side: number): string {
  const n = side - 1;
  const stiffness = (a: number, b: number) => (a === b ? 2 : -1);
  const mass = (a: number, b: number) => (a === b ? 4 / 6 : 1 / 6);
  const near = (i: number) => [i - 1, i, i + 1].filter(j => j >= 0 && j < n);
  const entries: string[] = [];
  for (let row = 0; row < n ** 3; row++) {
    const [x, y, z] = [row % n, Math.floor(row / n) % n, Math.floor(row / n ** 2)] as const;
    for (const k of near(z))
      for (const j of near(y))
        for (const i of near(x)) {
          const column = i + n * (j + n * k);
          if (column > row) continue; // only one triangle is in the file
          const value =
            stiffness(x, i) * mass(y, j) * mass(z, k) +
            mass(x, i) * stiffness(y, j) * mass(z, k) +
            mass(x, i) * mass(y, j) * stiffness(z, k);
          entries.push(`${row + 1} ${column + 1}  ${value.toExponential(17)}`);
        }
  }
  const head = ['%%MatrixMarket matrix coordinate real symmetric', '% heat in a cube of finite elements'];
  return [...head, `${n ** 3} ${n ** 3} ${entries.length}`, ...entries, ''].join('\n');
}
