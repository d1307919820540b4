// The whole client in Node, against a server of this process whose answers are made up.
import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import test, { type TestContext } from 'node:test';
import { createActivityStream, type ActivityStream, type ActivityStreamOptions, type Change } from './index.ts';

const ADVICE = { mode: 'SSE', reason: null, pollIntervalSeconds: 5, jitterSeconds: 2, retryAfterSeconds: 0 };
const notice = (kind: string, cursor: string) => ({
  __typename: 'StreamNotice', kind, cursor, head: cursor, at: new Date().toISOString(), transport: ADVICE,
  ownState: null, retryAfterSeconds: null, reauthenticateBy: null,
});
const added = (n: number) => ({
  __typename: 'ActivityAdded', cursor: `${n}-0`, publishedAt: new Date().toISOString(), deliveryAttempt: 1, activity: { id: `${n}` },
});
const frames = (...events: object[]) =>
  events.map((event) => `event: next\ndata: ${JSON.stringify({ data: { activityAdded: event } })}\n\n`).join('');

/** A server with a log that ends at 5-0, which greets every stream and then says what `streams` are told. */
async function serving(context: TestContext) {
  const streams: { since: string; token: string | undefined; response: ServerResponse }[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => (text += chunk));
    request.on('end', () => {
      const { query, variables } = JSON.parse(text);
      if (!query.includes('subscription')) return response.end(JSON.stringify({ data: { feed: { head: '5-0' } } }));
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(frames(notice('HELLO', variables.since)));
      streams.push({ since: variables.since, token: request.headers.authorization, response });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => (server.closeAllConnections(), server.close()));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql`;
  return { streams, endpoint };
}

/** A stream that is followed, all its changes, and a way to wait for one. */
function following(context: TestContext, options: ActivityStreamOptions) {
  const stream: ActivityStream = createActivityStream({ shareTabs: false, ...options });
  context.after(() => stream.close());
  const changes: Change[] = [];
  let wake = () => {};
  stream.subscribe((change) => (changes.push(change), wake()));
  const until = async (wanted: (change: Change) => boolean): Promise<Change> => {
    for (;;) {
      const found = changes.find(wanted);
      if (found) return found;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  return { stream, changes, until };
}

class Kept {
  readonly items = new Map<string, string>();
  getItem = (key: string) => this.items.get(key) ?? null;
  setItem = (key: string, value: string) => void this.items.set(key, value);
  removeItem = (key: string) => void this.items.delete(key);
}

test('it starts at the head, and tells what came in one piece at once', async (context) => {
  const { streams, endpoint } = await serving(context);
  const { changes, until } = following(context, { endpoint, viewer: 'alice', token: () => 'secret' });
  await until(({ snapshot }) => snapshot.status === 'live');
  assert.deepEqual([streams[0]?.since, streams[0]?.token], ['5-0', 'Bearer secret']);
  streams[0]!.response.write(frames(...[6, 7, 8].map(added)));
  const { events, via, snapshot } = await until(({ snapshot }) => snapshot.cursor === '8-0');
  assert.deepEqual([events.map(({ cursor }) => cursor), via], [['6-0', '7-0', '8-0'], 'stream']);
  assert.equal(snapshot.counters.received, 3);
  assert.equal(changes.flatMap((change) => change.events).length, 3);
});

test('a reload goes on from the cursor that was shown, for the same user only', async (context) => {
  const { streams, endpoint } = await serving(context);
  const storage = new Kept();
  const first = following(context, { endpoint, viewer: 'alice', storage });
  await first.until(({ snapshot }) => snapshot.status === 'live');
  streams[0]!.response.write(frames(added(6)));
  await first.until(({ snapshot }) => snapshot.cursor === '6-0');
  first.stream.close();
  await following(context, { endpoint, viewer: 'alice', storage }).until(({ snapshot }) => snapshot.status === 'live');
  await following(context, { endpoint, viewer: 'bob', storage }).until(({ snapshot }) => snapshot.status === 'live');
  assert.deepEqual(streams.map(({ since }) => since), ['5-0', '6-0', '5-0']);
});

test('an application that loads the feed says where to go on', async (context) => {
  const { streams, endpoint } = await serving(context);
  const { until } = following(context, { endpoint, viewer: 'alice', refetchFeed: async () => '3-0' });
  await until(({ snapshot }) => snapshot.status === 'live');
  assert.equal(streams[0]?.since, '3-0');
});

test('a user without a token is signed out, and signs in by tryNow', async (context) => {
  const { endpoint, streams } = await serving(context);
  let token: string | null = null;
  const { stream, until } = following(context, { endpoint, viewer: 'alice', token: async () => token });
  await until(({ snapshot }) => snapshot.status === 'signedOut');
  assert.equal(streams.length, 0);
  token = 'fresh';
  stream.tryNow();
  await until(({ snapshot }) => snapshot.status === 'live');
  assert.equal(streams[0]?.token, 'Bearer fresh');
});

test('a token about to expire is replaced, and the old stream closed, without an event lost or shown twice', async (context) => {
  const { streams, endpoint } = await serving(context);
  let issued = 0;
  const { changes, until } = following(context, { endpoint, viewer: 'alice', token: ({ renew }) => `${renew} ${++issued}` });
  await until(({ snapshot }) => snapshot.status === 'live');
  streams[0]!.response.write(frames(added(6), notice('REAUTHENTICATE', '6-0'), added(7)));
  await new Promise<void>((resolve) => streams[0]!.response.on('close', resolve));
  assert.equal(streams[1]?.token, 'Bearer true 2');
  streams[1]!.response.write(frames(added(7), added(8)));
  await until(({ snapshot }) => snapshot.cursor === '8-0');
  assert.deepEqual(changes.flatMap(({ events }) => events.map(({ cursor }) => cursor)), ['6-0', '7-0', '8-0']);
});

test('after close nothing is open, and nothing is told', async (context) => {
  const { streams, endpoint } = await serving(context);
  const { stream, changes, until } = following(context, { endpoint, viewer: 'alice' });
  await until(({ snapshot }) => snapshot.status === 'live');
  stream.close();
  await new Promise<void>((resolve) => streams[0]!.response.on('close', resolve));
  assert.equal(stream.snapshot().status, 'closed');
  const told = changes.length;
  stream.tryNow();
  assert.equal(changes.length, told);
});
