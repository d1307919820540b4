import assert from 'node:assert/strict';
import test from 'node:test';
import { createFetcher, plan, requestHeaders } from './fetcher.ts';

const STREAM = '# query\nfragment F on T { a } subscription Live { t { ...F } } query Feed { a }';
const ENDPOINT = 'http://host/graphql';

interface Seen {
  headers: Headers;
  body: { query: string };
  signal: AbortSignal | undefined;
}

/** A fetch that answers with `response` and keeps what it was asked. */
function answering(response: () => Response | Promise<Response>) {
  const seen: Seen[] = [];
  const fetchFn = (async (_url: string, init: RequestInit) => {
    seen.push({ headers: new Headers(init.headers), body: JSON.parse(String(init.body)), signal: init.signal ?? undefined });
    return response();
  }) as unknown as typeof fetch;
  return { seen, fetchFn };
}

const json = (body: unknown, status = 200) => new Response(JSON.stringify(body), { status });
const events = (text: string) => new Response(text, { headers: { 'content-type': 'text/event-stream' } });

/** Run a subscription to its end and return what it showed. */
async function watch(fetcher: ReturnType<typeof createFetcher>['fetcher']): Promise<unknown[]> {
  const stream = (await fetcher({ query: STREAM, operationName: 'Live' })) as {
    subscribe: (sink: { next: (value: unknown) => void; error: (error: unknown) => void; complete: () => void }) => void;
  };
  const shown: unknown[] = [];
  await new Promise<void>((resolve, reject) =>
    stream.subscribe({ next: (value) => shown.push(value), error: reject, complete: resolve }));
  return shown;
}

test('only the operation that is run decides on the transport', () => {
  assert.deepEqual(plan(STREAM, 'Live'), { transport: 'sse', operationName: 'Live' });
  assert.deepEqual(plan(STREAM, 'Feed'), { transport: 'json', operationName: 'Feed' });
  assert.deepEqual(plan(STREAM, null), { transport: 'json' }, 'the server shall say that it needs a name');
  assert.deepEqual(plan('subscription { a }', null), { transport: 'sse' });
});

test('the name of an operation in another tab is dropped', () => {
  assert.deepEqual(plan('query Feed { a }', 'Live'), { transport: 'json' });
  assert.deepEqual(plan('subscription Live { a }', 'Feed'), { transport: 'sse' });
});

test('a document that does not parse goes to the server as it is', () => {
  assert.deepEqual(plan('query Feed {', 'Feed'), { transport: 'json', operationName: 'Feed' });
});

test('the token goes along unless the tab has its own', () => {
  assert.deepEqual(requestHeaders('t', undefined), { authorization: 'Bearer t' });
  assert.deepEqual(requestHeaders('t', { Authorization: 'Bearer typed', 'X-Trace': 1 }), {
    authorization: 'Bearer typed',
    'x-trace': '1',
  });
  assert.deepEqual(requestHeaders(null, undefined), {});
});

test('introspection carries the token and asks for JSON', async () => {
  const { seen, fetchFn } = answering(() => json({ data: { a: 1 } }));
  const { fetcher } = createFetcher({ endpoint: ENDPOINT, token: 't', fetchFn });
  assert.deepEqual(await fetcher({ query: '{ __schema }', operationName: 'IntrospectionQuery' }), { data: { a: 1 } });
  assert.equal(seen[0]?.headers.get('authorization'), 'Bearer t');
  assert.doesNotMatch(seen[0]?.headers.get('accept') ?? '', /event-stream/);
});

test('a refusal with a GraphQL body is shown as the server wrote it', async () => {
  const refusal = { errors: [{ message: 'no', extensions: { code: 'UNAUTHENTICATED' } }] };
  const { fetchFn } = answering(() => json(refusal, 401));
  const { fetcher } = createFetcher({ endpoint: ENDPOINT, token: null, fetchFn });
  assert.deepEqual(await fetcher({ query: '{ a }' }), refusal);
  assert.deepEqual(await watch(fetcher), [refusal]);
});

test('an answer that is no GraphQL result is quoted with its status', async () => {
  const { fetchFn } = answering(() => new Response('<h1>down</h1>', { status: 502, statusText: 'Bad Gateway' }));
  const { fetcher } = createFetcher({ endpoint: ENDPOINT, token: null, fetchFn });
  assert.match(JSON.stringify(await fetcher({ query: '{ a }' })), /502 Bad Gateway.*<h1>down/);
});

test('a server that is not there is told apart', async () => {
  const { fetchFn } = answering(() => Promise.reject(new TypeError('Failed to fetch')));
  const { fetcher } = createFetcher({ endpoint: ENDPOINT, token: null, fetchFn });
  assert.match(JSON.stringify(await fetcher({ query: '{ a }' })), /could not be reached/);
  assert.match(JSON.stringify(await watch(fetcher)), /broke off/);
});

test('a subscription is streamed with the token until the server completes it', async () => {
  const { seen, fetchFn } = answering(() => events('event: next\nid: 1-0\ndata: {"data":{"n":1}}\n\nevent: complete\ndata:\n\n'));
  const { fetcher } = createFetcher({ endpoint: ENDPOINT, token: 't', fetchFn });
  assert.deepEqual(await watch(fetcher), [{ data: { n: 1 } }]);
  assert.equal(seen[0]?.headers.get('accept'), 'text/event-stream');
  assert.equal(seen[0]?.headers.get('authorization'), 'Bearer t');
});

test('a stream that ends without complete says so and is not opened again', async () => {
  const { seen, fetchFn } = answering(() => events('event: next\ndata: {"data":{"n":1}}\n\n'));
  const { fetcher } = createFetcher({ endpoint: ENDPOINT, token: 't', fetchFn });
  const [first, last] = await watch(fetcher);
  assert.deepEqual(first, { data: { n: 1 } });
  assert.match(JSON.stringify(last), /broke off.*LiveFromCursor/);
  assert.equal(seen.length, 1);
});

test('closing the fetcher aborts its open streams', async () => {
  const { seen, fetchFn } = answering(() => new Promise<Response>(() => {}));
  const { fetcher, close } = createFetcher({ endpoint: ENDPOINT, token: 't', fetchFn });
  const ended = watch(fetcher);
  while (seen.length === 0) await new Promise(setImmediate);
  close();
  assert.equal(seen[0]?.signal?.aborted, true);
  void ended;
});
