/** What `dmi --version` prints and peers compare: agents and clients of another version are refused. */
export const VERSION = '0.1.0';
/** Version of the WebSocket protocol; raised when a message changes incompatibly. */
export const WIRE_VERSION = 1;
/** Version of the control channel between an agent and its hosts (docs/internals/host-control.md). */
export const HOST_WIRE_VERSION = 1;
export const MAGIC = 'DMI';

export const DEFAULT_PORT = 7070;
export const DEFAULT_LISTEN = `127.0.0.1:${DEFAULT_PORT}`;
export const DEFAULT_ADDRESS = `ws://127.0.0.1:${DEFAULT_PORT}`;

/** Largest WebSocket message, bytes. A peer that has not proved itself yet gets the small one. */
export const MAX_MESSAGE = 8 << 20;
export const MAX_HANDSHAKE_MESSAGE = 16 << 10;
/** Largest frame on the channel between agent and host, bytes. */
export const MAX_HOST_FRAME = 16 << 20;
/** Program images travel in pieces of at most this many bytes. */
export const CHUNK = 1 << 20;
/** Directory shards per job; kShards in native/memory/member.h. */
export const SHARDS = 1024;

/** Both sides send a beat this often, and take a peer that was silent for BEATS_MISSED of them for gone. */
export const BEAT_MS = 2_000;
export const BEATS_MISSED = 5;
/** How long an agent may be disconnected before its node is dead. */
export const GRACE_MS = 60_000;
/** How long a client or an agent waits for the answer to its greeting; a busy machine takes its time. */
export const CONNECT_MS = 30_000;
