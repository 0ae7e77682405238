"""SimSC, a re-implementation from its idea: a tuned vision transformer, and a temperature that is learned."""
