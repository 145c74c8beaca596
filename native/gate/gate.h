/* The gate: the contract between a guest program and the host it runs in.
 *
 * Every host maps one read-only page at DMI_GATE_ADDRESS. A guest calls into its host through the function pointers
 * there and in no other way (its system calls are served through Syscall User Dispatch). This header is plain C11 so
 * that guests in any language can bind to it; the host includes it too, so both sides share one definition.
 *
 * Rules
 *  - `call` may switch: the guest is then at rest, its whole state on its own stack, and may continue in another host.
 *  - `fast_*` never switch, allocate or use thread-local storage; they return 1 when the operation is complete and 0
 *    when the caller must take the slow path through `call`.
 *  - A result >= 0 is success; a negative one is -errno, and DMI_G_ERROR fetches one sentence about it.
 *  - Pointers in argument blocks point into the caller's own region; the host checks nothing it does not have to
 *    dereference, a bad pointer faults like any guest fault.
 */
#ifndef DMI_GATE_H
#define DMI_GATE_H
#include <stdint.h>

#define DMI_GATE_ADDRESS 0x100000000UL
#define DMI_GATE_MAGIC 0x65746167696d64UL /* "dmigate" */
#define DMI_GATE_VERSION 1u
/* Global address of the root page: 4096 bytes, zero-filled, there from a job's start to its end. What all threads of a job
 * find without being told (the table of objects) begins here. */
#define DMI_ROOT_ADDRESS (INT64_C(1) << 40)

struct dmi_gate {
  uint64_t magic;
  uint32_t version;
  uint32_t size; /* bytes of this structure in the host's build: later fields may be absent in older hosts */
  int64_t (*call)(int64_t nr, void *args);
  /* [addr,+size) to buf (mode: DMI_GET/INVALIDATE/UPDATE), or buf to [addr,+size) (mode: DMI_PUT/EXCLUSIVE). */
  int64_t (*fast_read)(int64_t addr, int64_t size, void *buf, int32_t mode);
  int64_t (*fast_write)(int64_t addr, int64_t size, const void *buf, int32_t mode);
  int64_t (*fast_fad)(int64_t addr, int64_t add, int64_t *fetched);
  /* Not for C: where a rewritten system call site jumps to, and the time of day (see DMI_GATE_VDSO_ADDRESS). */
  void (*system_call)(void);
  void (*clock_gettime)(void), (*clock_getres)(void), (*gettimeofday)(void), (*time)(void), (*getcpu)(void);
};

/* The page behind the gate: a small ELF image that every C library takes for the kernel's vDSO (AT_SYSINFO_EHDR). Its
 * functions jump through the table above, so the addresses that a guest remembers hold on every host it moves to. */
#define DMI_GATE_VDSO_ADDRESS 0x100001000UL

/* ---- calls ------------------------------------------------------------------------------------------------------ */
enum dmi_gate_nr {
  DMI_G_YIELD = 0,   /* args unused: let other guests run; the runtime may move this thread here */
  DMI_G_ROLE = 1,    /* args: struct dmi_gate_role*, filled in: what this instance was started to do */
  DMI_G_RESULT = 2,  /* args: int64_t*: the value DMI_join will give; takes effect when the thread exits */
  DMI_G_ERROR = 3,   /* args: struct dmi_gate_text*: the sentence about this thread's last failure */
  DMI_G_OP = 4,      /* args: struct dmi_gate_op*: one operation of the memory engine (see enum dmi_op) */
  DMI_G_CHECK = 5,   /* args: struct dmi_gate_wait*: is the asynchronous operation `handle` done? never blocks */
  DMI_G_WAIT = 6,    /* args: struct dmi_gate_wait*: block until it is; releases the handle */
  DMI_G_CREATE = 7,  /* args: struct dmi_gate_create*: start a thread: a new instance of this program */
  DMI_G_SELF = 8,    /* args: struct dmi_gate_thread*: my identity (stable over moves) */
  DMI_G_MIGRATE = 9, /* args: struct dmi_gate_migrate*: ask for a move; returns when it was done or refused */
  DMI_G_NODES = 10,  /* args: struct dmi_gate_nodes*: the job's members, in ascending id */
  /* 11 is free */
  DMI_G_SERVE = 12,  /* args: struct dmi_gate_function*: (function role only) block until there is a DMI_function call to
                        run, answering the previous one */
  DMI_G_READY = 13,  /* args unused: the C library is set up and nothing of the program has run yet. What the host finds now it may
                        give to a later thread as its beginning */
  /* args of all: struct dmi_gate_share*. Memory shared between threads of one host. */
  DMI_G_EXPORT = 14,    /* name, ptr, size: others may import it; pins the caller */
  DMI_G_WITHDRAW = 15,  /* name: no longer */
  DMI_G_IMPORT = 16,    /* thread, name -> ptr, size; pins the caller */
  DMI_G_GIVE_BACK = 17, /* ptr: as imported */
  DMI_G_CALLS        /* number of calls */
};

struct dmi_gate_text {
  char *buf;    /* receives a NUL-terminated string, cut to size */
  int64_t size; /* bytes */
};

/* What an instance of the program is for. Ordinary programs (no libdmi) never ask. */
enum dmi_role {
  DMI_ROLE_MAIN = 0,     /* run DMI_main, or the program's own main */
  DMI_ROLE_THREAD = 1,   /* run DMI_thread(arg) */
  DMI_ROLE_SCALEUNIT = 2, /* run DMI_scaleunit(rank, count, arg) */
  DMI_ROLE_FUNCTION = 3  /* serve DMI_function calls until killed */
};
struct dmi_gate_role {
  int32_t role; /* enum dmi_role */
  int32_t rank; /* scaleunit: my_rank */
  int32_t count; /* scaleunit: pnum */
  int32_t pad;
  int64_t arg;  /* dmi_addr / scaleunit_addr */
};

/* A thread's name: where it was created and a number unique there. Stable for its whole life. */
struct dmi_gate_thread {
  int32_t dmi_id;
  int32_t thread_id;
};

struct dmi_gate_create {
  int32_t dmi_id; /* member to start on, or -1: wherever there is room */
  int32_t role;   /* DMI_ROLE_THREAD or DMI_ROLE_SCALEUNIT */
  int32_t rank;
  int32_t count;
  int64_t arg;
  int64_t stack_size; /* bytes; 0 = default */
  struct dmi_gate_thread created; /* out */
};

struct dmi_gate_migrate {
  struct dmi_gate_thread thread;
  int32_t dmi_id;
  int32_t migrated; /* out: 1 if it moved */
};

struct dmi_gate_share {
  const char *name; /* NUL-terminated, 1 to 255 bytes */
  void *ptr;
  int64_t size; /* bytes */
  struct dmi_gate_thread thread;
};

struct dmi_gate_node {
  int32_t state; /* DMI_OPEN 20 wants to join, DMI_OPENED 21 in, DMI_CLOSE 22 wants to leave, DMI_CLOSED 23 gone */
  int32_t dmi_id;
  int32_t core;
  int32_t self; /* 1: the member the caller is on now */
  int64_t memory; /* bytes of pool */
  char hostname[128];
};
struct dmi_gate_nodes {
  struct dmi_gate_node *array;
  int32_t capacity; /* entries the array can take; the call's result is how many there are */
  int32_t rank;     /* out: the dmi_id of the member the caller is on */
};

struct dmi_gate_wait {
  uint64_t handle;
  int32_t done;   /* out */
  int32_t pad;
  int64_t result; /* out: what the call would have returned: >= 0 or -errno */
  int64_t value;  /* out: op.value of the finished operation */
};

/* A user's read-modify-write, to be run by a resident instance in the function role (DMI_G_SERVE). */
struct dmi_gate_function {
  uint64_t token; /* in: the call just finished (0: none); out: the call to run */
  void *page_ptr; /* out: the page's bytes, writable, for the duration of this call only */
  int64_t size;
  void *out_ptr; /* the operation's input */
  int64_t out_size;
  void *in_ptr; /* the operation's result */
  int64_t in_size;
  int32_t tag;
  int32_t status; /* in: 0, or errno when the program has no DMI_function */
};

/* ---- operations of the memory engine ----------------------------------------------------------------------------- */
enum dmi_op {
  DMI_K_MMAP = 1,      /* size: page size, value: page count -> value: address */
  DMI_K_MUNMAP = 2,    /* addr */
  DMI_K_READ = 3,      /* pieces[count]; mode */
  DMI_K_WRITE = 4,     /* pieces[count]; mode. size 0 with EXCLUSIVE takes ownership only */
  DMI_K_CAS = 5,       /* addr,size; in: compare, in2: swap -> value: 1 swapped */
  DMI_K_FAS = 6,       /* addr,size; in: new -> out: old */
  DMI_K_FAD = 7,       /* addr (8 bytes); value: add -> value: fetched */
  DMI_K_FUNCTION = 8,  /* addr,size; in/in_size -> out/out_size; tag: run DMI_function at the owner */
  DMI_K_WATCH = 9,     /* addr,size; in: compare -> out: what it became */
  DMI_K_SAVE = 10,     /* addr,size: pin the pages here */
  DMI_K_UNSAVE = 11,
  DMI_K_MUTEX_LOCK = 16, /* addr. Objects are named by their address and created on first use */
  DMI_K_MUTEX_TRYLOCK = 17, /* -> value: 1 locked */
  DMI_K_MUTEX_UNLOCK = 18,  /* -EPERM when the caller does not hold it */
  DMI_K_COND_WAIT = 19,     /* addr: condition, addr2: mutex, held by the caller; returns holding it again */
  DMI_K_COND_SIGNAL = 20,
  DMI_K_COND_BROADCAST = 21,
  DMI_K_BARRIER = 22,   /* addr, count: pnum */
  DMI_K_ALLREDUCE = 23, /* addr, count: pnum, op, type; in: one value -> out: the combined one */
  DMI_K_OBJECT_DESTROY = 24, /* addr: forget the object; -EBUSY while threads wait in it */
  DMI_K_EVENT_WAIT = 25, /* thread: wait for it to end -> value: its result; consumes the event (join) */
  DMI_K_EVENT_DROP = 26, /* thread: nobody will join (detach) */
  DMI_K_MAIL_WAIT = 27,  /* my own mailbox; out/out_size: bytes of the next post that comes after this call */
  DMI_K_MAIL_POST = 28,  /* thread: its mailbox; in/in_size */
  DMI_K_EVENT_SET = 29  /* host only: thread ended with value */
};

struct dmi_gate_piece {
  int64_t addr; /* global */
  int64_t size; /* bytes */
  void *ptr;    /* in the guest */
};

#define DMI_GF_ASYNC 1u /* return at once; `handle` names the operation for DMI_G_CHECK / DMI_G_WAIT */

struct dmi_gate_op {
  uint32_t kind;   /* enum dmi_op */
  uint32_t flags;  /* DMI_GF_* */
  int32_t mode;    /* DMI_GET 20, INVALIDATE 21, UPDATE 22, EXCLUSIVE 23, PUT 24 */
  int32_t count;   /* pieces, or pnum */
  int64_t addr;
  int64_t addr2;
  int64_t size;    /* bytes */
  int64_t value;   /* in and out, see enum dmi_op */
  const void *in;  /* bytes the operation takes */
  const void *in2; /* cas: swap */
  void *out;       /* bytes it gives */
  int64_t in_size;
  int64_t out_size;
  const struct dmi_gate_piece *pieces; /* copied by the host before an asynchronous call returns */
  struct dmi_gate_thread thread;
  int32_t op;   /* allreduce: DMI_OP_MAX 20 MIN 21 SUM 22 PROD 23 */
  int32_t type; /* allreduce: DMI_TYPE_CHAR 20 ... DOUBLE 26 */
  int32_t tag;  /* function */
  int32_t pad;
  uint64_t handle; /* out, with DMI_GF_ASYNC */
};

#define DMI_GATE ((const struct dmi_gate *)DMI_GATE_ADDRESS)
#endif
