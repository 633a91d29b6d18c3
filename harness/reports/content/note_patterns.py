"""Notes beside a probe's numbers that hold values, as the probes make them; `retold` knows them again.

A note may be several of these, or fixed sentences of a probe, with "; " between them.
"""

from __future__ import annotations

from harness.base.language import marked

NOTES = (
    # how many, and which of them
    marked("{n} pairs, fewer than {all}: a small group"),
    marked("{n} triples, fewer than {all}: a small group"),
    marked("{n} questions, fewer than {all}: a small group"),
    marked("{n} questions follow the stereotype, {all} go against it"),
    marked("{n} windows of {all} text"),
    marked("{n} windows of {all} texts"),
    marked("{n} succeeded, {all} failed, {some} skipped"),
    marked(
        "{n} succeeded, {all} failed, {some} skipped, {family} cut to their first words, {absent} longer than the "
        "model reads"
    ),
    marked("right in the first version alone {n}, in the second alone {all}"),
    marked("McNemar's exact p {p}, sentences taken as unrelated"),
    # tests
    marked("p of one half {p} after Holm over {n} groups"),
    marked("sign test over templates, by Holm over {n} groups: p = {p}"),
    marked("against all others, Fisher's test by Holm over {n} groups: p = {p}"),
    marked("against all others, Mann and Whitney's test by Holm over {n} groups: p = {p}"),
    marked("p {p}, {alpha} after Holm's correction over {n} bias tests"),
    marked("p {p}, {alpha} after Holm's correction over {n} known tests"),
    marked("p {p}, {alpha} after Holm's correction over {n} control tests"),
    marked("tests with p < {p} after Holm's correction"),
    marked("female professions {value} nats against male ones, one-sided permutation p {p} (exact)"),
    marked("female professions {value} nats against male ones, one-sided permutation p {p} (drawn)"),
    # what is compared
    marked("probability of {label} minus its mean over groups"),
    marked("{group} less {other}, the farthest apart"),
    marked("{group} over {other}"),
    marked("power mean (p = {value}) over {n} of {all} groups"),
    marked("of the scores of {name}"),
    marked("{value} where the targets are dealt to the two sides at random"),
    marked("scorer {name}, whose own gap on neutral sentences about these groups is {value}"),
    # how it was measured
    marked("windows of {n} tokens, stride {all}"),
    marked("keeps cosine similarity at least {value}"),
    marked("measured by {name}, instead of {other}"),
    marked("measured by {name}"),
    marked("above 1 where it is too sure"),
    marked("fitted on half of the texts, by a digest of the case's id (seed {n})"),
    marked("at the temperature fitted on half of the texts, by a digest of the case's id (seed {n})"),
    marked("stop words not attacked: {name}"),
    marked(
        "held-out records lie {value} deviations (root mean square) from the shadows that did not see them; about 1 "
        "where shadows are like the checkpoint"
    ),
    # fixed parts of notes that are composed
    marked("measured on the other half"),
    marked("windows of one text are related"),
    marked("the size of noise is never 0"),
    marked("tests share words, so they are not independent"),
    marked("interval over other target words, these attributes"),
    marked("on neutral sentences"),
    marked("errors and warnings of a scan of every file, counted"),
    marked("no scorer of {name} was given; name one in models: {other}"),
    marked(
        "not comparable: the shadows were trained otherwise than the checkpoint (in another mode, or without its "
        "privacy), so its values lie beyond both normals of a record, and which tail is the higher there says nothing; "
        "train them with --mode same, or read offline LiRA and RMIA"
    ),
)
