// Apollo Client 4: queries as it does them, subscriptions by graphql-sse. Resuming is up to you: see docs/clients.md.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from '@apollo/client';
import { OperationTypeNode, print } from 'graphql';
import { createClient, type Client } from 'graphql-sse';
import { Observable } from 'rxjs';

class SseLink extends ApolloLink {
  readonly #client: Client;

  constructor(client: Client) {
    super();
    this.#client = client;
  }

  override request({ query, operationName = '', variables }: ApolloLink.Operation): Observable<ApolloLink.Result> {
    const request = { query: print(query), operationName, variables };
    return new Observable((sink) => this.#client.subscribe<ApolloLink.Result['data'] & object>(request, {
      next: (result) => sink.next(result as ApolloLink.Result),
      error: (error) => sink.error(error),
      complete: () => sink.complete(),
    }));
  }
}

export interface Options {
  url: string;
  token: string;
  fetchFn?: typeof fetch;
}

export function createApolloClient({ url, token, fetchFn = fetch }: Options): ApolloClient {
  const headers = { authorization: `Bearer ${token}` };
  return new ApolloClient({
    cache: new InMemoryCache({ possibleTypes: { FeedEvent: ['ActivityAdded', 'FeedGap', 'GapHealed', 'ReadStateChanged', 'StreamNotice'] } }),
    link: ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      // Its own retries would send the old `since` again.
      new SseLink(createClient({ url, headers, fetchFn, retryAttempts: 0 })),
      new HttpLink({ uri: url, headers, fetch: fetchFn }),
    ),
  });
}
