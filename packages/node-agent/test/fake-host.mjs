#!/usr/bin/env node
// A stand-in for dmi-host that speaks its control channel, for tests of the agent and the coordinator alone. "Threads" are
// timers; they travel between fake hosts over TCP. argv[1] of the job is a script of words separated by commas:
//   print  sleep=SECONDS  until=FILE (that it is there)  exit=STATUS  crash  fault  spawn=N
//   cpu=A/B/… (from now on the first thread uses A of a core, the second B, …; only in what it reports)  size=BYTES/BYTES/…
// The environment of the job sets: FAKE_COLLIDE=N (the first N moves into a member that is not lite collide),
// FAKE_BUSY=N (the first N moves are refused as busy), FAKE_BUILD_node=ID (build id), FAKE_DEAF=1 (ignores stop and SIGTERM).
import { existsSync } from 'node:fs';
import net from 'node:net';
import { Packr } from 'msgpackr';

const packr = new Packr({ useRecords: false, int64AsType: 'number' });
if (process.argv.includes('--version')) {
  console.log(JSON.stringify({ version: '0.1.0', build: 'fake', wire: 1, gate: 1 }));
  process.exit(0);
}

const channel = new net.Socket({ fd: 3 });
const send = message => {
  const body = packr.pack(message);
  const head = Buffer.alloc(4);
  head.writeUInt32LE(body.length);
  channel.write(Buffer.concat([head, body]));
};
let rest = Buffer.alloc(0);
channel.on('data', bytes => {
  rest = Buffer.concat([rest, bytes]);
  while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32LE(0)) {
    const length = rest.readUInt32LE(0);
    onMessage(packr.unpack(rest.subarray(4, 4 + length)));
    rest = rest.subarray(4 + length);
  }
});
channel.on('close', () => process.exit(0));

let job;
let settings = {};
const peers = new Map();
const threads = new Map();
let nextThread = 1000;
let collide = 0;
let busy = 0;

const server = net.createServer(socket => {
  let text = '';
  socket.on('error', () => {});
  socket.on('data', bytes => {
    text += bytes;
    if (!text.endsWith('\n')) return;
    const { thread, move, moves, first, until, steps, mayCollide, rank, cpu, share, size } = JSON.parse(text);
    if (mayCollide && !job.lite) return socket.end('collision');
    send({ t: 'arrived', thread, move, bytes: 4096, moves });
    socket.end('ok');
    begin({ id: thread, first, until, steps, moves, rank, cpu, share, size });
  });
});

function onMessage(message) {
  switch (message.t) {
    case 'job':
      job = message;
      settings = Object.fromEntries(job.env.map(line => line.split(/=(.*)/s).slice(0, 2)));
      collide = Number(settings.FAKE_COLLIDE ?? 0);
      busy = Number(settings.FAKE_BUSY ?? 0);
      if (settings.FAKE_DEAF) process.on('SIGTERM', () => {});
      server.listen(0, job.bind, () => {
        const { port } = server.address();
        send({ t: 'hello', version: '0.1.0', build: settings[`FAKE_BUILD_${job.node}`] ?? 'fake', wire: 1, pid: process.pid, port, features: [] });
      });
      return;
    case 'view':
      if (message.full) peers.clear();
      for (const member of message.members) peers.set(member.id, member);
      for (const id of message.gone) peers.delete(id);
      return;
    case 'start': {
      const id = `${job.member}.${message.thread}`;
      send({ t: 'started', thread: id, by: null, movable: true });
      begin({ id, first: true, moves: 0, until: 0, steps: (job.argv[1] ?? 'print').split(','), rank: message.rank });
      return;
    }
    case 'move':
      return move(message);
    case 'drain':
      return send({ t: 'drained' });
    case 'stop':
      if (!settings.FAKE_DEAF) process.exit(0);
      return;
    case 'query':
      return send({
        t: 'report',
        query: message.query,
        clock: performance.now() / 1000,
        threads: [...threads.values()].map(thread => ({ thread: thread.id, state: 'running', cpuSeconds: used(thread), bytes: thread.size ?? 4096, pinned: null, regions: [] })),
        memory: {},
        rss: 0,
      });
  }
}

function used({ cpu = 0, share = 0, since = 0 }) {
  return cpu + (share * (performance.now() - since)) / 1000;
}

function begin(thread) {
  thread.since = performance.now();
  threads.set(thread.id, thread);
  if (thread.until > Date.now()) thread.timer = setTimeout(() => proceed(thread), thread.until - Date.now());
  else proceed(thread);
}

function proceed(thread) {
  const step = thread.steps.shift();
  if (step === undefined || step.startsWith('exit')) {
    threads.delete(thread.id);
    send({ t: 'exited', thread: thread.id, status: Number(step?.split('=')[1] ?? 0), result: '0', main: thread.first, moves: thread.moves });
    return;
  }
  const [verb, value] = step.split('=');
  if (verb === 'print') send({ t: 'output', thread: thread.id, stream: 1, data: Buffer.from(`${thread.id} on ${job.node}\n`) });
  if (verb === 'flood') for (let i = 0; i < Number(value); i++) send({ t: 'output', thread: thread.id, stream: 1, data: Buffer.alloc(65536, 'x\n') });
  if (verb === 'cpu') Object.assign(thread, { share: Number(value.split('/')[thread.rank] ?? 0), since: performance.now() });
  if (verb === 'size') thread.size = Number(value.split('/')[thread.rank] ?? 4096);
  if (verb === 'crash') process.kill(process.pid, 'SIGKILL');
  if (verb === 'fault') send({ t: 'fault', thread: thread.id, signal: 'SIGSEGV', address: '0x10', pc: '0x1234', symbol: 'step', text: '' });
  if (verb === 'spawn') {
    for (let i = 0; i < Number(value); i++) {
      const id = `${job.member}.${nextThread++}`;
      send({ t: 'started', thread: id, by: thread.id, movable: true });
      begin({ id, first: false, moves: 0, until: 0, steps: [...thread.steps] });
    }
  }
  if (verb === 'until') {
    if (!existsSync(value)) thread.steps.unshift(step);
    thread.timer = setTimeout(() => proceed(thread), 50);
    return;
  }
  if (verb === 'sleep') {
    thread.until = Date.now() + Number(value) * 1000;
    thread.timer = setTimeout(() => proceed(thread), Number(value) * 1000);
  } else {
    setImmediate(() => proceed(thread));
  }
}

function move({ move, thread: id, to }) {
  const thread = threads.get(id);
  const answer = (ok, code, reason = '') => send({ t: 'moved', move, thread: id, ok, code, reason, bytes: thread?.size ?? 4096, seconds: 0.001, pauseSeconds: 0.0005, moves: (thread?.moves ?? 0) + 1 });
  if (!thread) return answer(false, 'gone', 'it has exited');
  if (busy-- > 0) return answer(false, 'busy', 'it is in a call');
  const peer = peers.get(to);
  if (!peer) return answer(false, 'unreachable', `member ${to} is not in the view`);
  clearTimeout(thread.timer);
  threads.delete(id);
  const mayCollide = collide > 0;
  collide--;
  let said = '';
  const socket = net.connect(peer.port, peer.host, () => {
    const { first, until, steps, rank, share, size } = thread;
    const state = { first, until, steps, rank, share, size, cpu: used(thread) };
    socket.write(`${JSON.stringify({ thread: id, move, moves: thread.moves + 1, mayCollide, ...state })}\n`);
  });
  socket.on('data', bytes => {
    said += bytes;
  });
  socket.on('error', error => {
    begin(thread);
    answer(false, 'unreachable', error.message);
  });
  socket.on('end', () => {
    socket.end();
    if (said === 'ok') return answer(true, 'ok');
    begin(thread);
    answer(false, 'collision', 'its addresses are taken');
  });
}
