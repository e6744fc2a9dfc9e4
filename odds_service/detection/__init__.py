"""Detection: the differences between an observation and the cached odds; pure functions.

`comparison` compares an observation with the cache, `departure` and `withdrawal` end what is no
longer shown or asked for; all of them give un-numbered `intents`. `numbering` alone turns intents
into numbered changes and new cache entries. `answer_times` sorts out answers that a provider's
cache has kept too long.
"""
