// Against a real HTTP server of this process, whose answers are made up.
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import test, { type TestContext } from 'node:test';
import type { Input } from './messages.ts';
import { faultOf, Transport } from './transport.ts';

interface Asked {
  headers: IncomingMessage['headers'];
  body: { query: string; variables: Record<string, unknown> };
  response: ServerResponse;
}

/** A server that answers with `answer`, a transport that talks to it, and what that has heard. */
async function talking(context: TestContext, answer: (asked: Asked) => void, device: string | null = null) {
  const asked: Asked[] = [];
  const server: Server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => (text += chunk));
    request.on('end', () => {
      const one = { headers: request.headers, body: JSON.parse(text), response };
      asked.push(one);
      answer(one);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => (server.closeAllConnections(), server.close()));
  const heard: Input[] = [];
  let wake = () => {};
  const transport = new Transport(
    {
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql`,
      filter: { types: ['VOTE'] },
      device,
      confirm: 'SOCKET',
      fetchFn: fetch,
      bearer: () => 'token',
    },
    (input) => (heard.push(input), wake()),
  );
  const until = async (kind: Input['kind']): Promise<Input> => {
    for (;;) {
      const found = heard.find((input) => input.kind === kind);
      if (found) return found;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  return { asked, heard, transport, until };
}

const next = (event: object) => `event: next\ndata: ${JSON.stringify({ data: { activityAdded: event } })}\n\n`;
const stream = (response: ServerResponse) => response.writeHead(200, { 'content-type': 'text/event-stream' });
const json = (response: ServerResponse, body: object, status = 200, headers = {}) =>
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));

test('a stream is asked for with the cursor in its variables, and every comment is heard', async (context) => {
  const { asked, heard, transport, until } = await talking(context, ({ response }) => stream(response).write(': hello\n\n'));
  transport.open(1, '5-0');
  await until('bytes');
  assert.deepEqual(asked[0]?.body.variables, { since: '5-0', filter: { types: ['VOTE'] }, subscriber: null, confirm: 'SOCKET' });
  assert.equal(asked[0]?.headers.authorization, 'Bearer token');
  assert.deepEqual(heard, [{ kind: 'bytes', id: 1 }]);
  transport.abort(1);
});

test('an end that comes together with the last event is noticed', async (context) => {
  const { heard, transport, until } = await talking(context, ({ response }) => stream(response).end(next({ cursor: '6-0' })));
  transport.open(1, '5-0');
  const ended = await until('ended');
  assert.deepEqual(heard.map(({ kind }) => kind), ['bytes', 'frame', 'ended']);
  assert.equal(ended.kind === 'ended' && ended.fault.kind, 'failed');
});

test('a refused stream says why, and when to come back', async (context) => {
  const errors = [{ message: 'too many', extensions: { code: 'OVERLOADED' } }];
  const { transport, until } = await talking(context, ({ response }) => json(response, { errors }, 503, { 'retry-after': '7' }));
  transport.open(1, '5-0');
  const fault = { kind: 'failed', detail: 'status 503 OVERLOADED', retryAfter: 7_000 };
  assert.deepEqual(await until('ended'), { kind: 'ended', id: 1, fault });
});

test('an error on the stream followed by complete is what the error says', async (context) => {
  const result = { data: null, errors: [{ message: 'no', extensions: { code: 'CURSOR_INVALID' } }] };
  const { transport, until } = await talking(context, ({ response }) =>
    stream(response).end(`event: next\ndata: ${JSON.stringify(result)}\n\nevent: complete\ndata:\n\n`));
  transport.open(1, 'yesterday');
  assert.deepEqual(await until('ended'), { kind: 'ended', id: 1, fault: { kind: 'cursor', detail: 'CURSOR_INVALID' } });
});

test('a poll gives its page; what is not a page is a failure', async (context) => {
  const page = { cursor: '6-0', hasMore: false };
  const answers = [{ data: { updates: page } }, { errors: [{ message: 'away', extensions: { code: 'UNAVAILABLE' } }] }];
  const { asked, transport, until } = await talking(context, ({ response }) => json(response, answers.shift() ?? {}));
  transport.poll(1, '5-0');
  assert.deepEqual(await until('polled'), { kind: 'polled', id: 1, page });
  assert.deepEqual(asked[0]?.body.variables, { since: '5-0', first: 100, filter: { types: ['VOTE'] } });
  transport.poll(2, '5-0');
  assert.deepEqual(await until('failed'), { kind: 'failed', id: 2, fault: { kind: 'failed', detail: 'UNAVAILABLE' } });
});

test('nothing is heard of what was aborted', async (context) => {
  const { asked, heard, transport, until } = await talking(context, ({ body, response }) => {
    if (body.query.includes('Health')) json(response, { data: { health: { transport: {} } } });
  });
  transport.poll(1, '5-0');
  transport.abort(1);
  transport.health(2);
  await until('advised');
  assert.deepEqual(heard.map(({ kind }) => kind), ['advised']);
  assert.ok(asked.length >= 1);
});

test('the feed is loaded by the application, if it says how', async (context) => {
  const { asked, transport, until } = await talking(context, ({ response }) => json(response, { data: { feed: { head: '9-0' } } }));
  transport.locate(1, async () => '8-0');
  assert.deepEqual(await until('located'), { kind: 'located', id: 1, head: '8-0' });
  assert.equal(asked.length, 0);
});

test('a device acknowledges; whoever is no device does not', async (context) => {
  const named = await talking(context, ({ response }) => json(response, { data: { acknowledge: {} } }), 'desk');
  const nameless = await talking(context, ({ response }) => json(response, {}));
  nameless.transport.acknowledge('5-0');
  named.transport.acknowledge('5-0');
  named.transport.health(1);
  await named.until('failed');
  assert.deepEqual(named.asked.find(({ body }) => body.query.includes('Acknowledge'))?.body.variables, { through: '5-0', subscriber: 'desk' });
  assert.equal(nameless.asked.length, 0);
});

test('refusals are told apart by code and status', () => {
  const coded = (code: string, more = {}) => [{ message: 'no', extensions: { code, ...more } }];
  const status = (code: number, headers = {}) => new Response(null, { status: code, headers });
  assert.equal(faultOf(coded('UNAUTHENTICATED'), status(401)).kind, 'auth');
  assert.equal(faultOf([], status(403)).kind, 'auth');
  assert.equal(faultOf(coded('CURSOR_FROM_THE_FUTURE'), status(200)).kind, 'cursor');
  assert.equal(faultOf(coded('TOO_MANY_STREAMS', { retryAfterSeconds: 3 }), status(429)).retryAfter, 3_000);
  assert.equal(faultOf([], status(502)).detail, 'status 502');
  const soon = new Date(Date.now() + 60_000).toUTCString();
  const { retryAfter = 0 } = faultOf([], status(503, { 'retry-after': soon }));
  assert.ok(retryAfter > 50_000 && retryAfter <= 60_000);
});
