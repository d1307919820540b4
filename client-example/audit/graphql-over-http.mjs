// Runs graphql-http's audit of the specification "GraphQL over HTTP" against a server: node graphql-over-http.mjs URL TOKEN.
// Prints a JSON object: how many audits were run, and those that the server did not pass.
import { auditServer } from 'graphql-http';

const [url, token] = process.argv.slice(2);
const results = await auditServer({
  url,
  fetchFn: (input, init) => fetch(input, { ...init, headers: { ...init?.headers, authorization: `Bearer ${token}` } }),
});
const failed = results.filter((result) => result.status !== 'ok');
process.stdout.write(
  JSON.stringify({ run: results.length, failed: failed.map(({ id, name, status, reason }) => ({ id, name, status, reason })) }),
);
