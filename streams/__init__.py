"""Live delivery: sequencer, tail, consumer and ledger on Redis Streams."""
