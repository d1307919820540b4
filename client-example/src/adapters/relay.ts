// Relay 21: a network layer. The connection of `feed` is Relay's, so that usePaginationFragment takes it as it is.
import { createClient } from 'graphql-sse';
import { Network, Observable, type GraphQLResponse, type INetwork } from 'relay-runtime';
import type { Options } from './apollo.ts';

export function createRelayNetwork({ url, token, fetchFn = fetch }: Options): INetwork {
  const headers = { authorization: `Bearer ${token}` };
  const sse = createClient({ url, headers, fetchFn, retryAttempts: 0 });
  return Network.create(
    async ({ text, name }, variables) => {
      const response = await fetchFn(url, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json', accept: 'application/json' },
        body: JSON.stringify({ query: text, operationName: name, variables }),
      });
      return (await response.json()) as GraphQLResponse;
    },
    ({ text, name }, variables) =>
      Observable.create((sink) => sse.subscribe({ query: text ?? '', operationName: name, variables }, {
        next: (result) => sink.next(result as GraphQLResponse),
        error: (error) => sink.error(error as Error),
        complete: () => sink.complete(),
      })),
  );
}
