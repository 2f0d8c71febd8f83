"""The models of all providers, as data: one TOML file per provider, shipped, and those of whoever runs Callsheet."""
