"""What clients see: GraphQL types and fields, and GraphQL over SSE."""
