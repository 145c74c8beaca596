import { DmiError } from '@dmi/core';

/** What `dmi run` needs to know of an executable. */
export interface ElfProgram {
  /** The dynamic linker it asks for; null: statically linked. */
  interpreter: string | null;
  /** Names of the libraries it needs, as it names them. */
  needed: string[];
  /** It defines DMI_main: started once, creates its threads itself. */
  hasDmiMain: boolean;
}

const ET_EXEC = 2;
const ET_DYN = 3;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_FLAGS_1 = 0x6fff_fffb;
const DF_1_PIE = 0x0800_0000;
const SHT_SYMTAB = 2;
const SHT_DYNSYM = 11;

const MACHINES: Record<number, string> = {
  3: '32-bit x86',
  8: 'MIPS',
  20: 'PowerPC',
  21: '64-bit PowerPC',
  22: 's390',
  40: '32-bit ARM',
  183: '64-bit ARM',
  243: 'RISC-V',
  258: 'LoongArch',
};

interface Segment {
  type: number;
  offset: number;
  vaddr: number;
  filesz: number;
}

/**
 * Reads an executable's headers, symbols and needs.
 * @throws DmiError `bad-program`, naming the file and what is wrong: not an ELF, another machine, truncated, not PIE, a library
 */
export function parseElf(path: string, file: Buffer): ElfProgram {
  const bad = (what: string, hint: string) => new DmiError('bad-program', `${path}: ${what}`, { object: path, hint });
  const truncated = () => bad('the file is truncated (its headers point past its end)', 'copy or build it again');
  if (file.length < 4 || file.readUInt32BE(0) !== 0x7f45_4c46) {
    const script = file.subarray(0, 2).toString() === '#!';
    throw bad(
      script ? 'it is a script, not an ELF executable' : 'it is not an ELF executable',
      script ? 'run its interpreter: dmi run INTERPRETER SCRIPT' : 'build one with dmicc, or any compiler with -pie',
    );
  }
  if (file.length < 64) throw truncated();
  const machine = file.readUInt16LE(18);
  if (file[4] !== 2 || file[5] !== 1 || machine !== EM_X86_64) {
    const name = file[4] === 1 && machine === EM_X86_64 ? 'x32' : (MACHINES[machine] ?? `machine ${machine}`);
    throw bad(`it is an executable for another machine (${name}); the nodes are x86-64`, 'build it for x86-64');
  }
  const type = file.readUInt16LE(16);
  if (type === ET_EXEC)
    throw bad('it is not position-independent (ET_EXEC, linked with -no-pie)', 'link it with -pie, or with dmicc');
  if (type !== ET_DYN)
    throw bad(`it is an object file of type ${type}, not an executable`, 'link it: dmicc -o PROGRAM …');

  const number = (at: number): number => {
    if (at + 8 > file.length) throw truncated();
    const value = file.readBigUInt64LE(at);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw truncated();
    return Number(value);
  };
  const segments = readSegments(file, number, truncated);
  const interp = segments.find(segment => segment.type === PT_INTERP);
  const interpreter = interp ? text(file, interp.offset, truncated) : null;
  const { needed, flags } = readDynamic(file, segments, number, truncated);
  if (interpreter === null && (flags & DF_1_PIE) === 0)
    throw bad('it is a shared library, not a program', 'run an executable; link it with -pie, or with dmicc');
  return { interpreter, needed, hasDmiMain: definesDmiMain(file, number) };
}

function readSegments(file: Buffer, number: (at: number) => number, truncated: () => Error): Segment[] {
  const offset = number(32);
  const size = file.readUInt16LE(54);
  const count = file.readUInt16LE(56);
  if (size < 56 || count === 0 || offset + size * count > file.length) throw truncated();
  const segments: Segment[] = [];
  for (let i = 0; i < count; i++) {
    const at = offset + i * size;
    const segment = {
      type: file.readUInt32LE(at),
      offset: number(at + 8),
      vaddr: number(at + 16),
      filesz: number(at + 32),
    };
    if (
      (segment.type === PT_LOAD || segment.type === PT_DYNAMIC || segment.type === PT_INTERP) &&
      segment.offset + segment.filesz > file.length
    )
      throw truncated();
    segments.push(segment);
  }
  return segments;
}

function readDynamic(
  file: Buffer,
  segments: Segment[],
  number: (at: number) => number,
  truncated: () => Error,
): { needed: string[]; flags: number } {
  const dynamic = segments.find(segment => segment.type === PT_DYNAMIC);
  if (!dynamic) return { needed: [], flags: 0 };
  const names: number[] = [];
  let strings = 0;
  let flags = 0;
  for (let at = dynamic.offset; at + 16 <= dynamic.offset + dynamic.filesz; at += 16) {
    const tag = file.readBigInt64LE(at);
    if (tag === 0n) break;
    if (tag === BigInt(DT_NEEDED)) names.push(number(at + 8));
    else if (tag === BigInt(DT_STRTAB)) strings = number(at + 8);
    else if (tag === BigInt(DT_FLAGS_1)) flags = number(at + 8);
  }
  const load = segments.find(
    ({ type, vaddr, filesz }) => type === PT_LOAD && strings >= vaddr && strings < vaddr + filesz,
  );
  const table = load ? strings - load.vaddr + load.offset : 0;
  return { needed: load ? names.map(name => text(file, table + name, truncated)) : [], flags };
}

/** Looks through the symbol tables; a stripped program still has its dynamic one. */
function definesDmiMain(file: Buffer, number: (at: number) => number): boolean {
  const offset = number(40);
  const size = file.readUInt16LE(58);
  const count = file.readUInt16LE(60);
  if (offset === 0 || size < 64 || offset + size * count > file.length) return false;
  for (let i = 0; i < count; i++) {
    const section = offset + i * size;
    const type = file.readUInt32LE(section + 4);
    if (type !== SHT_SYMTAB && type !== SHT_DYNSYM) continue;
    const link = file.readUInt32LE(section + 40);
    if (link >= count) continue;
    const strings = number(offset + link * size + 24);
    const start = number(section + 24);
    const end = Math.min(file.length, start + number(section + 32));
    for (let at = start; at + 24 <= end; at += 24) {
      if (file.readUInt16LE(at + 6) === 0) continue; // undefined here
      const name = strings + file.readUInt32LE(at);
      if (file.toString('latin1', name, Math.min(file.length, name + 9)) === 'DMI_main\0') return true;
    }
  }
  return false;
}

function text(file: Buffer, at: number, truncated: () => Error): string {
  const end = file.indexOf(0, at);
  if (end < 0 || end - at > 4096) throw truncated();
  return file.toString('utf8', at, end);
}
