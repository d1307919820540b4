// How GraphiQL reaches the API: subscriptions as server-sent events, everything else as JSON.
import type { GraphiQLProps } from 'graphiql';
import { getOperationAST, Kind, parse, type DocumentNode } from 'graphql';
import { createClient, NetworkError } from 'graphql-sse';

export type Fetcher = GraphiQLProps['fetcher'];
export type Transport = 'sse' | 'json';

interface Options {
  endpoint: string;
  /** Sent with every request, introspection included; the headers typed into a tab win over it. */
  token: string | null;
  fetchFn?: typeof fetch;
}

/** A result without data, as GraphiQL shows it. */
interface Failure {
  errors: { message: string }[];
}

/**
 * Which transport a request needs, and which operation to name. Decided from the very text that is sent: GraphiQL's own
 * syntax tree and operation name are still those of the last tab for 0.1 s after a change of tabs.
 */
export function plan(query: string, operationName: string | null | undefined): { transport: Transport; operationName?: string } {
  let document: DocumentNode;
  try {
    document = parse(query);
  } catch {
    return { transport: 'json', ...(operationName && { operationName }) }; // the server says best what is wrong
  }
  const known = document.definitions.some((one) => one.kind === Kind.OPERATION_DEFINITION && one.name?.value === operationName);
  const named = operationName && known ? { operationName } : {};
  const operation = getOperationAST(document, named.operationName);
  return { transport: operation?.operation === 'subscription' ? 'sse' : 'json', ...named };
}

export function requestHeaders(token: string | null, typed: Record<string, unknown> | undefined): Record<string, string> {
  const headers = new Headers(token ? { authorization: `Bearer ${token}` } : {});
  for (const [name, value] of Object.entries(typed ?? {})) headers.set(name, String(value));
  return Object.fromEntries(headers);
}

/** A fetcher for one identity, and `close`, which ends its open streams: they must not outlive a change of identity. */
export function createFetcher({ endpoint, token, fetchFn = fetch }: Options): { fetcher: Fetcher; close: () => void } {
  const open = new Set<() => void>();

  const fetcher: Fetcher = (params, options) => {
    const headers = requestHeaders(token, options?.headers);
    const { query, variables } = params;
    const { transport, ...named } = plan(query, params.operationName);
    const request = { query, ...(variables && { variables }), ...named };
    if (transport === 'json') return postJson(endpoint, request, headers, fetchFn);
    // graphql-sse would retry with the same variables, so from an old cursor: GraphiQL shows the end instead.
    const client = createClient({ url: endpoint, headers, retryAttempts: 0, fetchFn: lateEnd(fetchFn) });
    // An observable rather than iterate(): that one waits for ever if the server refuses before it is first read.
    return {
      subscribe(sink: { next: (value: unknown) => void; error: (error: unknown) => void; complete: () => void }) {
        const stop = client.subscribe(request, {
          next: sink.next,
          complete: finish,
          error: (error) => void explain(error).then((failure) => (sink.next(failure), finish())),
        });
        open.add(stop);
        function finish() {
          open.delete(stop);
          sink.complete();
        }
        return { unsubscribe: stop };
      },
    } as ReturnType<Fetcher>;
  };

  return { fetcher, close: () => open.forEach((stop) => stop()) };
}

/**
 * The same fetch, with the end of a body held back for one turn of the event loop. graphql-sse 2.6 notices an end only
 * while somebody waits for the next event: one that comes together with an event (as a server's farewell does) is lost,
 * and the stream looks open for ever.
 */
function lateEnd(fetchFn: typeof fetch): typeof fetch {
  return async (input, init) => {
    const response = await fetchFn(input, init);
    if (!response.ok || !response.body) return response;
    const hold = new TransformStream({ flush: () => new Promise((resolve) => void setTimeout(resolve)) });
    return new Response(response.body.pipeThrough(hold), response);
  };
}

async function postJson(endpoint: string, params: object, headers: Record<string, string>, fetchFn: typeof fetch) {
  try {
    const response = await fetchFn(endpoint, {
      method: 'POST',
      headers: { accept: 'application/graphql-response+json, application/json;q=0.9', 'content-type': 'application/json', ...headers },
      body: JSON.stringify(params),
    });
    return await resultOf(response);
  } catch (error) {
    return failure(`The server could not be reached (${messageOf(error)}). Is it running?`);
  }
}

/** The GraphQL result in a response, whatever its status; anything else becomes one that says what came instead. */
async function resultOf(response: Response): Promise<object> {
  const text = await response.text();
  try {
    const result: unknown = JSON.parse(text);
    if (typeof result === 'object' && result !== null) return result;
  } catch {
    // Not JSON: a proxy's page, say.
  }
  return failure(`The server answered ${response.status} ${response.statusText} without a GraphQL result: ${text.slice(0, 300)}`);
}

async function explain(error: unknown): Promise<object> {
  if (error instanceof NetworkError && error.response instanceof Response) return resultOf(error.response);
  return failure(`The stream broke off (${messageOf(error)}). Run it again, or go on from the last cursor: see the tab LiveFromCursor.`);
}

function failure(message: string): Failure {
  return { errors: [{ message }] };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
