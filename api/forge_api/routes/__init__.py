"""The REST endpoints: parse, call one service, reply."""
