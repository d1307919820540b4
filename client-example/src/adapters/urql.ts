// urql 5, in its two ways: with graphql-sse, whose errors it shows, or with its own parser, for which a drop is a quiet end.
import { createClient as createSseClient } from 'graphql-sse';
import { cacheExchange, Client, fetchExchange, subscriptionExchange } from 'urql';
import type { Options } from './apollo.ts';

export function createUrqlClient({ url, token, fetchFn = fetch }: Options): Client {
  const headers = { authorization: `Bearer ${token}` };
  const sse = createSseClient({ url, headers, fetchFn, retryAttempts: 0 });
  return new Client({
    url,
    fetch: fetchFn,
    fetchOptions: { headers },
    exchanges: [
      cacheExchange,
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query = '', variables }) => ({
          subscribe: (sink) => ({
            unsubscribe: sse.subscribe({ query, variables: variables as Record<string, unknown> }, sink as never),
          }),
        }),
      }),
    ],
  });
}

export function createPlainUrqlClient({ url, token, fetchFn = fetch }: Options): Client {
  return new Client({
    url,
    fetch: fetchFn,
    fetchOptions: { headers: { authorization: `Bearer ${token}` } },
    fetchSubscriptions: true,
    exchanges: [cacheExchange, fetchExchange],
  });
}
