// GraphQL Yoga with its own pub/sub, its own subscriptions over server-sent events, and nothing besides.
import { createServer } from 'node:http';
import { createPubSub, createSchema, createYoga } from 'graphql-yoga';

const pubSub = createPubSub();

const typeDefs = /* GraphQL */ `
  scalar Cursor
  enum ActivityType { SPEECH VOTE }
  enum NoticeKind { HELLO }
  input ActivityFilter { mpIds: [ID!] }
  type MP { id: ID! name: String! party: String riding: String }
  type Bill { id: ID! number: String! title: String! }
  type Activity { id: ID! type: ActivityType! title: String! mp: MP bill: Bill }
  interface FeedEvent { cursor: Cursor! }
  type ActivityAdded implements FeedEvent {
    cursor: Cursor! activity: Activity! publishedAt: String! deliveryAttempt: Int!
  }
  type StreamNotice implements FeedEvent { cursor: Cursor! kind: NoticeKind! }
  type Query { hello: String }
  type Subscription { activityAdded(since: Cursor, filter: ActivityFilter, subscriber: ID): FeedEvent! }
`;

async function* activityAdded() {
  const events = pubSub.subscribe('activities');
  yield { __typename: 'StreamNotice', cursor: '0-0', kind: 'HELLO' };
  yield* events;
}

const resolvers = {
  Subscription: { activityAdded: { subscribe: activityAdded, resolve: (event) => event } },
};

const yoga = createYoga({
  schema: createSchema({ typeDefs, resolvers }),
  logging: false,
  graphiql: false,
  landingPage: false,
});

function publish(request, response) {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    for (const event of JSON.parse(Buffer.concat(parts))) pubSub.publish('activities', event);
    response.writeHead(204).end();
  });
}

const server = createServer((request, response) =>
  request.url === '/publish' ? publish(request, response) : yoga(request, response),
);
server.listen({ port: Number(process.env.PORT), host: '127.0.0.1', backlog: 4096 });
