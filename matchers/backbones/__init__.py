"""Networks that encode pictures, in the layouts of published checkpoints."""
