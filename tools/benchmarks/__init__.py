"""The parts of `python -m tools.bench`, a module each.

How a part is written: a function `measure(bounds, *, …)` whose keywords are typer options, and a
`PART` that names it; `tools/bench.py` lists the parts. It runs ceiling, ours and baseline one after
the other in every turn of `bounds.turns()`, so that a ratio compares what the machine did at one
time, and adds one sample of each a turn:

    def measure(bounds: Bounds, *, events: Annotated[int, typer.Option(help="…")] = 300) -> Report:
        '''What it measures; the first line is the command's help.'''
        found = Measured("storage", "what a turn does, with its sizes")
        for _ in bounds.turns():
            with found.timed("bare sqlite3"):  # a sample in ms
                ...
            with found.timed("writer"):
                ...
            found.add("queue lag", 0.25, "s")  # any other sample
        found.ratio("of the same statements", "bare sqlite3", "writer", at_least(0.8))
        found.limits("writer", "what limits it, as a profile showed")
        return found.report(changes=10_000)


    PART = Part("storage", measure, sized="changes", costs={"writer": "changes"})

Options, time bound, table, `--json`, `--plots`, verdicts and `all` come by themselves. `sized` and
`costs` put a part into `scale`: which option it multiplies, and which figures (in ms) it divides by
which of the report's facts. Whatever needs a process of its own (a load generator, a database)
is started by the part and ended with it; a part that runs a loop runs it inside `measure`.
"""
