// Follow a stream from the command line, for tests against a real server: node follow.js ENDPOINT, the token in $TOKEN.
// Prints one line of JSON per change; takes `tryNow` and `close` on standard input. $OPTIONS: more options, as JSON.
import { createInterface } from 'node:readline';
import { createActivityStream } from '../index.ts';
import type { Change } from '../index.ts';

const [endpoint = ''] = process.argv.slice(2);
const stream = createActivityStream({
  endpoint,
  viewer: 'node',
  token: () => process.env.TOKEN ?? null,
  shareTabs: false,
  ...JSON.parse(process.env.OPTIONS ?? '{}'),
});

let last = '';
stream.subscribe(({ snapshot, events, via }: Change) => {
  const { status, mode, cursor, counters, switches, lastFault } = snapshot;
  const line = JSON.stringify({ status, mode, cursor, via, events, counters, switches, lastFault });
  if (line !== last) process.stdout.write(`${line}\n`);
  last = line;
});
createInterface({ input: process.stdin }).on('line', (command) => {
  if (command === 'tryNow') stream.tryNow();
  if (command === 'close') {
    stream.close();
    process.exit(0);
  }
});
