// The tabs that a first visit opens with. tabs.test.ts holds them against the schema.

export interface ExampleTab {
  query: string;
  variables?: string;
}

const EVENT = `    __typename
    cursor
    ... on ActivityAdded {
      publishedAt
      deliveryAttempt
      activity {
        id
        type
        title
        mp { name party }
        bill { number title }
      }
    }
    ... on FeedGap {
      since through missing reason recovery
    }
    ... on StreamNotice {
      kind head at
      transport { mode reason }
    }`;

// Lines of at most 50 characters: that is what the editor shows on a laptop.
export const EXAMPLE_TABS: ExampleTab[] = [
  {
    query: `# What MPs and bills do, from now on, as it
# happens. One button runs and stops the stream.
#
# The result pane keeps only the newest event: a
# notice (HELLO at first, then a BOOKMARK every
# few seconds) gives way to the next activity.
subscription Live {
  activityAdded {
${EVENT}
  }
}
`,
  },
  {
    query: `# The same stream, but first everything after a
# cursor: how a client resumes. Nothing is lost.
#
# "0-0" (under Variables) is the start of the log.
# Later cursors: "head" in the tab Feed, or any
# "cursor" in the tab Live.
#
# For a named device the server keeps the place:
#   activityAdded(subscriber: "phone")
subscription LiveFromCursor($since: Cursor) {
  activityAdded(since: $since) {
${EVENT}
  }
}
`,
    variables: '{\n  "since": "0-0"\n}\n',
  },
  {
    query: `# The past, newest first, with your read marks.
# A live stream since "head" goes on from here
# without a hole.
query Feed {
  feed(first: 10) {
    head
    servedBy
    unreadCount
    edges {
      isRead
      cursor
      node {
        id
        type
        title
        summary
        occurredAt
        mp { name party }
        bill { number title }
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}
`,
  },
  {
    query: `# The stream, by polling: same events and cursors.
# Next, ask since the "cursor" of the answer: at
# once while it says "hasMore", else after
# pollIntervalSeconds and a random jitter.
query Updates($since: Cursor!) {
  updates(since: $since, first: 20) {
    cursor
    head
    hasMore
    transport {
      mode pollIntervalSeconds jitterSeconds
    }
    events {
      __typename
      cursor
      ... on ActivityAdded {
        activity { id type title }
      }
      ... on FeedGap {
        since through missing reason recovery
      }
    }
  }
}
`,
    variables: '{\n  "since": "0-0"\n}\n',
  },
  {
    query: `# Choose "Press office" as your identity first:
# it takes a token with the scope "publish".
# Watch it arrive on the page of the feed.
mutation Publish($title: String!) {
  publishActivity(
    input: { type: STATEMENT, title: $title }
  ) {
    __typename
    ... on PublishedActivity {
      activity { id title }
    }
    ... on ActivityRefused { message }
  }
}
`,
    variables: '{\n  "title": "The bells rang"\n}\n',
  },
  {
    query: `# Take IDs from the tab Feed into Variables.
# Marking something twice does no harm.
mutation MarkRead($ids: [ID!]!) {
  markRead(activityIds: $ids) {
    edges { id isRead node { title } }
    readState { unreadCount version }
  }
}
`,
    variables: '{\n  "ids": ["1"]\n}\n',
  },
  {
    query: `# How the server is, and how to follow it:
# by SSE or, when it says so, by polling.
query Health {
  health {
    healthy
    redis
    database
    recommendation
    transport {
      mode
      reason
      pollIntervalSeconds
      jitterSeconds
      retryAfterSeconds
    }
  }
}
`,
  },
];
