// The collector of TypeScript programs: mark and sweep over the standard allocator, with the native stack as a root.
//
// Compiled code keeps references in native registers and stack slots, so no shadow stack is maintained while the program runs:
// the roots are the globals, and whatever on the thread's own stack looks like a reference (runtime/roots.c finds it). Objects
// never move. A collection runs inside an allocation when the heap has doubled since the last one.
//
// Every heap object is on one list, in gcInfo (next object | mark bit); gcInfo2 links objects that are still to be scanned.
// Static objects are on no list; the marked ones are chained through gcInfo until the collection ends.

import './tlsf';
import { BLOCK_OVERHEAD, OBJECT, OBJECT_MAXSIZE, OBJECT_OVERHEAD, TOTAL_OVERHEAD } from './common';

@external('dmi', 'gc_roots') declare function findRoots(list: usize): void;

@lazy let objects: usize = 0;
@lazy let grey: usize = 0;
@lazy let markedStatics: usize = 0;
/** Bytes of all heap objects, and at how many the next collection is due. */
@lazy let total: usize = 0;
@lazy let due: usize = 1 << 20;
/** References seen by a visit with cookie COUNT. */
@lazy let counted: i32 = 0;

@inline const MARK: usize = 1;
@inline const SCAN: u32 = 0;
@inline const COUNT: u32 = 1;

@inline function header(ptr: usize): OBJECT {
  return changetype<OBJECT>(ptr - TOTAL_OVERHEAD);
}

@inline function bytes(object: OBJECT): usize {
  return BLOCK_OVERHEAD + (object.mmInfo & ~3);
}

@global @unsafe
export function __new(size: usize, id: i32): usize {
  if (size > OBJECT_MAXSIZE) throw new Error('one object may take at most 1 GiB; use several arrays');
  if (total > due) __collect();
  const object = changetype<OBJECT>(__alloc(OBJECT_OVERHEAD + size) - BLOCK_OVERHEAD);
  object.rtId = id;
  object.rtSize = <u32>size;
  object.gcInfo = objects;
  object.gcInfo2 = 0;
  objects = changetype<usize>(object);
  total += bytes(object);
  const ptr = changetype<usize>(object) + TOTAL_OVERHEAD;
  memory.fill(ptr, 0, size);
  return ptr;
}

@global @unsafe
export function __renew(from: usize, size: usize): usize {
  const before = header(from);
  const capacity = (before.mmInfo & ~3) - OBJECT_OVERHEAD;
  if (from >= __heap_base && size <= capacity) {
    before.rtSize = <u32>size;
    return from;
  }
  // A fresh object: growing in place would have to find the predecessor on the list.
  const to = __new(size, before.rtId);
  memory.copy(to, from, min<usize>(size, before.rtSize));
  return to;
}

@global @unsafe
export function __link(_parent: usize, _child: usize, _multiple: bool): void {}

@global @unsafe
export function __visit(ptr: usize, cookie: u32): void {
  if (!ptr) return;
  if (cookie == COUNT) {
    counted++;
    return;
  }
  const object = header(ptr);
  if (object.gcInfo & MARK) return;
  if (ptr < __heap_base) {
    object.gcInfo = markedStatics | MARK;
    markedStatics = changetype<usize>(object);
  } else {
    object.gcInfo |= MARK;
  }
  object.gcInfo2 = grey;
  grey = changetype<usize>(object);
}

@global @unsafe
export function __collect(): void {
  __visit_globals(SCAN);
  findRoots(objects);
  while (grey) {
    const object = changetype<OBJECT>(grey);
    grey = object.gcInfo2;
    object.gcInfo2 = 0;
    __visit_members(changetype<usize>(object) + TOTAL_OVERHEAD, SCAN);
  }
  while (markedStatics) {
    const object = changetype<OBJECT>(markedStatics);
    markedStatics = object.gcInfo & ~MARK;
    object.gcInfo = 0;
  }
  sweep();
  due = max<usize>(1 << 20, 2 * total);
}

function sweep(): void {
  let kept: usize = 0;
  let next = objects;
  total = 0;
  while (next) {
    const object = changetype<OBJECT>(next);
    next = object.gcInfo & ~MARK;
    if (object.gcInfo & MARK) {
      object.gcInfo = kept;
      kept = changetype<usize>(object);
      total += bytes(object);
    } else {
      __free(changetype<usize>(object) + BLOCK_OVERHEAD);
    }
  }
  objects = kept;
}

/** What runtime/roots.c calls for each object that something on the stack refers to. */
export function dmi_mark(ptr: usize): void {
  __visit(ptr, SCAN);
}

/** How many references an object holds that are not null. */
@global @unsafe
export function __references(ptr: usize): i32 {
  counted = 0;
  __visit_members(ptr, COUNT);
  return counted;
}
