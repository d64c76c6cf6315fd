"""Words that say nothing about what a text is about, and English words that only look like plurals."""


def _words(lines: str) -> frozenset[str]:
    return frozenset(lines.split())


ENGLISH_STOP_WORDS = _words(
    """
    a about above after again against all almost along already also although always am among an and another any
    anyone anything are aren't around as at away back be became because become been before behind being below
    between both but by came can can't cannot come could couldn't did didn't do does doesn't doing don't done down
    during each either else enough even ever every everyone everything few for from further get gets getting give
    go goes going gone got had hadn't has hasn't have haven't having he her here hers herself him himself his how
    however i i'd i'll i'm i've if in into is isn't it it's its itself just keep kept know last least less let
    let's like made make makes many may me might mine more most much must my myself near neither never next no nor
    not nothing now of off often on once one ones only onto or other others our ours ourselves out over own per
    perhaps quite rather really said same say says see seem seems set several shall she should shouldn't since so
    some someone something still such take takes than that that's the their theirs them themselves then there
    there's these they they're this those though through thus to together too toward towards two under until up
    upon us use used uses using very via want wants was wasn't way we we're well went were weren't what whatever
    when where whether which while who whole whom whose why will with within without won't would wouldn't yes yet
    you you're your yours yourself yourselves
    """
)

NO_PLURALS = _words(
    """
    always athletics atlas bias canvas chaos christmas classics cosmos diabetes economics ethics gas genetics
    graphics gymnastics lens mathematics maths news paris physics plus politics series species statistics tennis
    thermos this yes
    """
)

CHINESE_STOP_WORDS = _words(
    """
    一些 一个 一下 一切 一样 一直 一种 一起 不会 不但 不再 不同 不是 不过 与其 之一 之后 之前 之间 也是
    什么 今天 他们 以及 以后 以来 任何 但是 作为 你们 使用 例如 便是 值得 可以 可能 各种 同时 因为 因此
    大家 如何 如果 它们 对于 就是 已经 并且 应该 当然 怎么 怎样 成为 我们 或者 所以 所有 无论 时候 是否
    有些 有人 有的 期间 正在 此外 每个 没有 然后 然而 现在 由于 甚至 的话 目前 看到 知道 而且 能够 自己
    至于 虽然 许多 还是 还有 这个 这些 这样 这种 这里 进行 通过 那个 那些 那么 那里 都是 除了 非常
    """
)
