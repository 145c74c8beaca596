import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { compileToWasm } from '../src/assemblyscript.js';

const EXAMPLES = fileURLToPath(new URL('../../../examples/ts/', import.meta.url));

describe('the examples', () => {
  it.each(readdirSync(EXAMPLES).filter(name => name.endsWith('.ts')))('%s compiles without a warning', async name => {
    const { warnings, files } = await compileToWasm(join(EXAMPLES, name));
    expect({ warnings, files }).toEqual({ warnings: [], files: [join(EXAMPLES, name)] });
  });
});
