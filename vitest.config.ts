import { existsSync, readdirSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

const packages = readdirSync('packages').filter(name => existsSync(`packages/${name}/package.json`));

// One project per package (unit tests beside its sources), and one for test/, whose tests drive the built programs:
// those start hosts and agents of their own, so they run one file at a time on a small machine.
export default defineConfig({
  test: {
    pool: 'forks',
    projects: [
      ...packages.map(name => ({
        test: {
          name,
          root: `packages/${name}`,
          include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
          pool: 'forks' as const,
          testTimeout: 30_000,
        },
      })),
      {
        test: {
          name: 'system',
          root: 'test',
          include: ['**/*.test.ts'],
          pool: 'forks' as const,
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 250_000,
          // Whole clusters on a machine of two cores: what fails twice in a row has failed.
          retry: process.env.CI ? 1 : 0,
        },
      },
    ],
    coverage: { provider: 'v8', include: ['packages/*/src/**/*.ts'] },
  },
});
