import type { WebSocket } from 'ws';
import { DmiError } from '../errors.js';

/**
 * Changes the largest message that this connection takes, bytes. `ws` has one limit for a server, and a peer that has proved itself may
 * say more than one that has not; so this reaches into its receiver, and refuses to go on if that is not as it was.
 */
export function limitMessages(socket: WebSocket, bytes: number): void {
  const receiver = (socket as unknown as { _receiver?: { _maxPayload?: unknown } })._receiver;
  if (typeof receiver?._maxPayload !== 'number') {
    throw new DmiError('internal', 'this version of ws keeps its message limit elsewhere');
  }
  receiver._maxPayload = bytes;
}
