// One operation by POST. The stream has its own ways; everything else on the page asks like this.
import type { Operation } from './activity-stream/index.ts';
import type { Session } from './session.ts';

export class ApiError extends Error {
  /** `extensions.code` of the first error, if the server gave one. */
  readonly code: string | null;

  constructor(message: string, code: string | null = null) {
    super(message);
    this.code = code;
  }
}

interface Answer<Data> {
  data?: Data | null;
  errors?: { message: string; extensions?: { code?: string } }[];
}

/** The data of an operation. Throws ApiError with a sentence for people. A refused token is renewed, once. */
export async function request<Data, Variables>(
  session: Session, operation: Operation<Data, Variables>, variables: Variables, signal?: AbortSignal,
): Promise<Data> {
  const send = async (renew: boolean) => post(session.endpoint, await session.token({ renew }), operation.query, variables, signal);
  let answer = (await send(false)) as Answer<Data>;
  if (answer.errors?.[0]?.extensions?.code === 'UNAUTHENTICATED') answer = (await send(true)) as Answer<Data>;
  const [error] = answer.errors ?? [];
  if (error) throw new ApiError(error.message, error.extensions?.code ?? null);
  if (!answer.data) throw new ApiError('The server’s answer holds no data.');
  return answer.data;
}

async function post(endpoint: string, token: string | null, query: string, variables: unknown, signal?: AbortSignal) {
  const response = await fetch(endpoint, {
    method: 'POST',
    headers: {
      accept: 'application/json',
      'content-type': 'application/json',
      ...(token && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ query, variables }),
    ...(signal && { signal }),
  }).catch((error: unknown) => {
    if (signal?.aborted) throw error;
    throw new ApiError('The server could not be reached.');
  });
  const body: unknown = await response.json().catch(() => null);
  if (typeof body !== 'object' || body === null) throw new ApiError(`The server answered ${response.status}.`);
  return body;
}
