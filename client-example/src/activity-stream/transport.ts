// The network: what the controller wants done, done; what comes of it, told. Decides nothing.
import { createClient, NetworkError } from 'graphql-sse';
import {
  ACKNOWLEDGE, ACTIVITY_ADDED, HEAD, HEALTH, UPDATES,
  type ActivityFilter, type Confirmation, type Cursor, type Operation,
} from './operations.ts';
import type { Fault, Input } from './messages.ts';

/** Events a poll asks for at a time; the server gives 100 at most. */
const PAGE = 100;
/** A server that asks to be left alone for longer than this is asked again after it. */
const LONGEST_RETRY_AFTER = 3_600_000;

export interface TransportOptions {
  endpoint: string;
  filter: ActivityFilter | null;
  device: string | null;
  confirm: Confirmation;
  fetchFn: typeof fetch;
  /** The token that is valid now; null: a cookie says who it is. */
  bearer: () => string | null;
}

/** A request that did not give what it was asked for. */
export class RequestFailed extends Error {
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(fault.detail);
    this.fault = fault;
  }
}

export class Transport {
  private readonly running = new Map<number, () => void>();
  private readonly options: TransportOptions;
  private readonly hear: (input: Input) => void;

  constructor(options: TransportOptions, hear: (input: Input) => void) {
    this.options = options;
    this.hear = hear;
  }

  /** A stream of what follows `since`, until it ends or is aborted. graphql-sse would retry with the old cursor: never. */
  open(id: number, since: Cursor): void {
    const { endpoint, filter, device, confirm, fetchFn } = this.options;
    const tapped = tap(fetchFn, () => this.hear({ kind: 'bytes', id }));
    const client = createClient({ url: endpoint, headers: this.headers(), retryAttempts: 0, fetchFn: tapped });
    const variables = { since, filter, subscriber: device, confirm };
    let refusal: Fault | null = null;
    const ended = (fault: Fault) => {
      this.running.delete(id);
      this.hear({ kind: 'ended', id, fault });
    };
    const stop = client.subscribe<Data<typeof ACTIVITY_ADDED>>(
      { query: ACTIVITY_ADDED.query, variables },
      {
        next: ({ data, errors }) => {
          if (data?.activityAdded) this.hear({ kind: 'frame', id, event: data.activityAdded });
          else refusal = faultOf(errors ?? [], null);
        },
        complete: () => ended(refusal ?? { kind: 'failed', detail: 'the server completed the stream' }),
        error: (error) => void explain(error).then(ended),
      },
    );
    this.running.set(id, stop);
  }

  poll(id: number, since: Cursor): void {
    const { filter } = this.options;
    this.question(id, async (signal) => {
      const { updates } = await this.ask(UPDATES, { since, first: PAGE, filter }, signal);
      return { kind: 'polled', id, page: updates };
    });
  }

  health(id: number): void {
    this.question(id, async (signal) => {
      const { health } = await this.ask(HEALTH, {}, signal);
      return { kind: 'advised', id, advice: health.transport };
    });
  }

  /** Where the log ends: by `refetch`, which loads the feed for the application as well, or by a query. */
  locate(id: number, refetch: (() => Promise<Cursor>) | undefined): void {
    this.question(id, async (signal) => {
      const head = refetch ? await refetch() : (await this.ask(HEAD, {}, signal)).feed.head;
      return { kind: 'located', id, head };
    });
  }

  /** Not worth a failure: what is not acknowledged now is with the next delivery. */
  acknowledge(through: Cursor): void {
    const { device } = this.options;
    if (device === null) return;
    this.ask(ACKNOWLEDGE, { through, subscriber: device }, AbortSignal.timeout(10_000)).catch(() => undefined);
  }

  abort(id: number): void {
    this.running.get(id)?.();
    this.running.delete(id);
  }

  /** Anything else that is answered once, and can be aborted. */
  question(id: number, answer: (signal: AbortSignal) => Promise<Input>): void {
    const control = new AbortController();
    this.running.set(id, () => control.abort());
    answer(control.signal)
      .catch((error: unknown): Input => ({ kind: 'failed', id, fault: faultFrom(error) }))
      .then((input) => {
        this.running.delete(id);
        if (!control.signal.aborted) this.hear(input);
      });
  }

  private headers(): Record<string, string> {
    const token = this.options.bearer();
    return token === null ? {} : { authorization: `Bearer ${token}` };
  }

  private async ask<D, V>({ query }: Operation<D, V>, variables: V, signal: AbortSignal): Promise<D> {
    const response = await this.options.fetchFn(this.options.endpoint, {
      method: 'POST',
      headers: {
        accept: 'application/graphql-response+json, application/json;q=0.9',
        'content-type': 'application/json',
        ...this.headers(),
      },
      body: JSON.stringify({ query, variables }),
      signal,
    });
    const result = await resultOf(response);
    if (result?.data) return result.data as D;
    throw new RequestFailed(faultOf(result?.errors ?? [], response));
  }
}

type Data<O> = O extends Operation<infer D, infer _> ? D : never;

interface GraphQLResult {
  data?: unknown;
  errors?: readonly GraphQLFault[];
}

interface GraphQLFault {
  message: string;
  extensions?: Record<string, unknown> | undefined;
}

/** The result in a response, whatever its status; null if there is none, as in a proxy's page. */
async function resultOf(response: Response): Promise<GraphQLResult | null> {
  try {
    return (await response.json()) as GraphQLResult | null;
  } catch {
    return null;
  }
}

/** What a refusal means, from the errors of the result and the status. */
export function faultOf(errors: readonly GraphQLFault[], response: Response | null): Fault {
  const { code, retryAfterSeconds } = errors[0]?.extensions ?? {};
  const status = response === null || response.ok ? '' : `status ${response.status}`;
  const detail = [status, code ?? errors[0]?.message].filter(Boolean).join(' ') || 'no GraphQL result';
  if (code === 'CURSOR_INVALID' || code === 'CURSOR_FROM_THE_FUTURE') return { kind: 'cursor', detail };
  const refused = response?.status === 401 || response?.status === 403;
  if (refused || code === 'UNAUTHENTICATED' || code === 'FORBIDDEN') return { kind: 'auth', detail };
  const seconds = typeof retryAfterSeconds === 'number' ? retryAfterSeconds : retryAfterOf(response);
  return { kind: 'failed', detail, ...(seconds > 0 && { retryAfter: Math.min(LONGEST_RETRY_AFTER, seconds * 1_000) }) };
}

/** `Retry-After` in seconds, be it a number or a date; 0 if there is none. */
function retryAfterOf(response: Response | null): number {
  const header = response?.headers.get('retry-after');
  if (!header) return 0;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1_000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : 0;
}

async function explain(error: unknown): Promise<Fault> {
  if (!(error instanceof NetworkError) || !(error.response instanceof Response)) return faultFrom(error);
  return faultOf((await resultOf(error.response))?.errors ?? [], error.response);
}

function faultFrom(error: unknown): Fault {
  if (error instanceof RequestFailed) return error.fault;
  return { kind: 'failed', detail: error instanceof Error ? error.message : String(error) };
}

/**
 * The same fetch, telling of every piece of the body that arrives: comments are heard that graphql-sse does not report.
 * The end is held back for one turn of the event loop, because graphql-sse 2.6 notices an end only while it waits for an
 * event: one that arrives together with the last event is lost, and the stream looks open for ever.
 */
export function tap(fetchFn: typeof fetch, onBytes: () => void): typeof fetch {
  return async (input, init) => {
    const response = await fetchFn(input, init);
    if (!response.ok || !response.body) return response;
    const body = response.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, sink) {
          onBytes();
          sink.enqueue(chunk);
        },
        flush: () => new Promise((resolve) => void setTimeout(resolve)),
      }),
    );
    return new Response(body, response);
  };
}
