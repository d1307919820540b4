// One client against a real server: `node against.js CLIENT URL TOKEN`. Says what it sees, a JSON object a line: every response,
// the answer to a query, then each event of a stream that starts at the head; after three activities, or the end, it leaves.
import { gql } from '@apollo/client';
import { createClient } from 'graphql-sse';
import { createApolloClient, type Options } from '../apollo.ts';
import { createRelayNetwork } from '../relay.ts';
import { createPlainUrqlClient, createUrqlClient } from '../urql.ts';

const HEAD = 'query Head { feed(first: 1) { head edges { id node { id title } } pageInfo { hasNextPage endCursor } } }';
const STREAM = `subscription Stream($since: Cursor) {
  activityAdded(since: $since) { __typename cursor ... on ActivityAdded { activity { id title } } }
}`;

interface Result {
  data?: unknown;
  errors?: unknown;
  /** Apollo's way to say that a stream broke. */
  error?: unknown;
  hasNext?: boolean;
}

interface Sink {
  next: (result: Result) => void;
  error: (error: unknown) => void;
  complete: () => void;
}

interface Client {
  query: () => Promise<Result>;
  subscribe: (since: string, sink: Sink) => unknown;
  /** What it keeps, for clients that keep something. */
  kept?: () => unknown;
}

const relayRequest = (text: string, operationKind: 'query' | 'subscription') => ({
  cacheID: text, id: null, metadata: {}, name: operationKind === 'query' ? 'Head' : 'Stream', operationKind, text,
});

const CLIENTS: Record<string, (options: Required<Options>) => Client> = {
  'graphql-sse': ({ url, token, fetchFn }) => {
    const client = createClient({ url, fetchFn, headers: { authorization: `Bearer ${token}` }, retryAttempts: 0 });
    return {
      query: () => new Promise((resolve, reject) => {
        client.subscribe({ query: HEAD }, { next: resolve as never, error: reject, complete: () => {} });
      }),
      subscribe: (since, sink) => client.subscribe({ query: STREAM, variables: { since } }, sink as never),
    };
  },
  urql: (options) => ofUrql(createUrqlClient(options)),
  'urql-fetch': (options) => ofUrql(createPlainUrqlClient(options)),
  apollo: (options) => {
    const client = createApolloClient(options);
    return {
      query: () => client.query({ query: gql(HEAD) }) as Promise<Result>,
      subscribe: (since, sink) => client.subscribe({ query: gql(STREAM), variables: { since } }).subscribe(sink as never),
      kept: () => Object.keys(client.cache.extract() as object),
    };
  },
  relay: (options) => {
    const network = createRelayNetwork(options);
    return {
      query: () => network.execute(relayRequest(HEAD, 'query') as never, {}, {}).toPromise() as Promise<Result>,
      subscribe: (since, sink) => network.execute(relayRequest(STREAM, 'subscription') as never, { since }, {}).subscribe(sink as never),
    };
  },
};

function ofUrql(client: ReturnType<typeof createUrqlClient>): Client {
  return {
    query: () => client.query(HEAD, {}).toPromise() as Promise<Result>,
    subscribe: (since, sink) => client.subscription(STREAM, { since }).subscribe((result) => {
      if (result.error) sink.error(result.error);
      else sink.next(result as Result);
      if (!result.hasNext) sink.complete();
    }),
  };
}

const say = (what: object) => console.log(JSON.stringify(what));

const [, , name = '', url = '', token = ''] = process.argv;
const fetchFn: typeof fetch = async (input, init) => {
  const response = await fetch(input, init);
  const header = (key: string) => response.headers.get(key);
  say({
    response: response.status, method: init?.method ?? 'GET',
    type: header('content-type'), cache: header('cache-control'), vary: header('vary'),
  });
  return response;
};

const client = CLIENTS[name]!({ url, token, fetchFn });
const answer = (await client.query()) as { data: { feed: { head: string } }; errors?: unknown };
say({ query: answer.data, errors: answer.errors ?? null });

const seen = new Set<string>();
client.subscribe(answer.data.feed.head, {
  next: ({ data, errors, error }) => {
    if (error) return leave('error', error);
    const event = (data as { activityAdded?: { __typename: string; cursor: string; activity?: { id: string } } } | undefined)?.activityAdded;
    say({ event: event ?? null, errors: errors ?? null });
    if (event?.activity) seen.add(event.activity.id);
    if (seen.size === 3) leave('done');
  },
  error: (error) => leave('error', error),
  complete: () => leave('complete'),
});

function leave(how: string, error?: unknown): void {
  say({ end: how, error: error === undefined ? null : String(error), kept: client.kept?.() ?? null });
  process.exit(0);
}
