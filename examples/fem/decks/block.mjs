#!/usr/bin/env node
// Prints a deck of a crooked block for one element type: every load and support this program knows, on elements none of
// which is a parallelepiped, so that a comparison with CalculiX sees every term.
//   node block.mjs C3D20R [cells per side = 2] > block.inp
const [type = 'C3D8', side = '2'] = process.argv.slice(2);
const n = Number(side);
const tet = type === 'C3D4' || type === 'C3D10';
const quadratic = type === 'C3D10' || type.startsWith('C3D20');
if (!['C3D4', 'C3D8', 'C3D10', 'C3D20', 'C3D20R'].includes(type) || !(n >= 1)) {
  process.stderr.write('usage: block.mjs C3D4|C3D8|C3D10|C3D20|C3D20R [cells per side]\n');
  process.exit(2);
}

const nodes = new Map(); // "i,j,k" on a grid of half cells -> number
const lines = [];
/** A length, sheared and bent block; halves land between the corners, so edges stay nearly straight. */
function place(i, j, k) {
  const [x, y, z] = [i / (2 * n), j / (2 * n), k / (2 * n)];
  return [
    3 * x + 0.3 * z * y + 0.1 * Math.sin(3 * y + 2 * z),
    1.2 * y + 0.2 * x * z + 0.08 * Math.sin(4 * x),
    z + 0.15 * x * x + 0.05 * Math.sin(3 * x + 2 * y),
  ];
}
function node(i, j, k) {
  const key = `${i},${j},${k}`;
  if (!nodes.has(key)) {
    nodes.set(key, nodes.size + 1);
    lines.push([nodes.size, ...place(i, j, k).map((c) => c.toFixed(6))].join(', '));
  }
  return nodes.get(key);
}

const hexEdges = [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]];
const tetEdges = [[0, 1], [1, 2], [2, 0], [0, 3], [1, 3], [2, 3]];
// Six tetrahedra around the cell's diagonal 0-6 (Kuhn's subdivision).
const split = [[0, 1, 2, 6], [0, 2, 3, 6], [0, 3, 7, 6], [0, 7, 4, 6], [0, 4, 5, 6], [0, 5, 1, 6]];

const elements = [];
for (let k = 0; k < n; k++)
  for (let j = 0; j < n; j++)
    for (let i = 0; i < n; i++) {
      const corner = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]].map(
        ([a, b, c]) => [2 * (i + a), 2 * (j + b), 2 * (k + c)],
      );
      for (const list of tet ? split : [[0, 1, 2, 3, 4, 5, 6, 7]]) {
        const points = list.map((c) => corner[c]);
        if (quadratic)
          for (const [a, b] of tet ? tetEdges : hexEdges)
            points.push([0, 1, 2].map((d) => (points[a][d] + points[b][d]) / 2));
        elements.push(points.map((p) => node(...p)));
      }
    }

const on = (d, value) => [...nodes].filter(([key]) => Number(key.split(',')[d]) === value).map(([, id]) => id);
const rows = (ids) => {
  const out = [];
  for (let i = 0; i < ids.length; i += 12) out.push(ids.slice(i, i + 12).join(', '));
  return out.join('\n');
};
const text = [
  '*HEADING', `crooked block of ${elements.length} ${type}`,
  '*NODE, NSET=ALL', ...lines,
  `*ELEMENT, TYPE=${type}, ELSET=ALL`,
  ...elements.map((e, at) => {
    const all = [at + 1, ...e];
    return all.length <= 11 ? all.join(', ') : `${all.slice(0, 11).join(', ')},\n${all.slice(11).join(', ')}`;
  }),
  '*NSET, NSET=LEFT', rows(on(0, 0)),
  '*NSET, NSET=RIGHT', rows(on(0, 2 * n)),
  '*ELSET, ELSET=LOADED, GENERATE', `1, ${elements.length - 1 + (elements.length % 2)}, 2`,
  '*MATERIAL, NAME=STEEL', '*ELASTIC', '210000., 0.3', '*DENSITY', '7.8e-3',
  '*MATERIAL, NAME=RUBBERY', '*ELASTIC', '900., 0.47', '*DENSITY', '1.2e-3',
  '*SOLID SECTION, ELSET=ALL, MATERIAL=STEEL',
  ...(elements.length > 1 ? ['*ELSET, ELSET=LAST', String(elements.length), '*SOLID SECTION, ELSET=LAST, MATERIAL=RUBBERY'] : []),
  '*BOUNDARY', 'LEFT, 1, 3', `${on(0, 2 * n).at(-1)}, 2, 2, 0.01`,
  '*STEP', '*STATIC',
  '*CLOAD', 'RIGHT, 3, -2.5', `${on(0, 2 * n)[0]}, 1, 40.`,
  '*DLOAD', 'LOADED, P2, 25.', `1, P1, 10.`, `1, P3, 12.`, `1, P4, -7.`, 'ALL, GRAV, 9810., 0., 0.6, -0.8',
  'ALL, CENTRIF, 2500., 0.2, 0., 0., 0., 0., 1.',
  '*NODE PRINT, NSET=ALL', 'U', '*EL FILE', 'S', '*END STEP', '',
];
process.stdout.write(text.join('\n'));
