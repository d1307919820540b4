#!/bin/sh
# The stream in a terminal: sh curl.sh http://127.0.0.1:8000/graphql TOKEN [SINCE]. Each `id:` is where the next call goes on.
url=$1 token=$2 since=${3:+\"$3\"}
exec curl --silent --show-error --no-buffer "$url" \
  --header "Authorization: Bearer $token" --header 'Content-Type: application/json' --header 'Accept: text/event-stream' \
  --data @- <<JSON
{"query": "subscription (\$since: Cursor) { activityAdded(since: \$since) { __typename cursor ... on ActivityAdded { activity { title } } } }",
 "variables": {"since": ${since:-null}}}
JSON
