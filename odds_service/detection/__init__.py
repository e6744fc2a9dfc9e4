"""Detection: the differences between an observation and the cached odds; pure functions.

`comparison` compares an observation with the cache, `departure` handles absences and ends of
events, and `withdrawal` removes odds that the settings no longer ask for; all of them return
un-numbered `intents`. Only `numbering` turns intents into numbered changes and new cache entries.
`answer_times` filters out stale answers from a provider's cache.
"""
