"""Chinese sentence skeletons: {match} is an interest that the item has, {like} one that it has not."""

NOUNS = {
    "e-commerce": "好物",
    "social": "帖子",
    "news": "报道",
    "education": "课程",
    "entertainment": "佳作",
    "": "内容",
}
VERBS = {
    "e-commerce": "入手",
    "social": "一看",
    "news": "一读",
    "education": "一学",
    "entertainment": "欣赏",
    "": "一看",
}

HEADLINE = (
    "喜欢{match}的你，别错过{title}",
    "{title}：为热爱{match}的你而选",
    "又见{match}：{title}",
    "今日{match}{noun}：{title}",
    "{title}，当{match}遇上{match2}",
    "就爱{match}？来看{title}",
    "{title}，把{match}带到你身边",
    "爱{match}的新选择：{title}",
    "给{match}爱好者：{title}",
    "你关注的{match}，都在{title}",
    "在{like}之外，还有{title}",
    "暂别{like}，看看{title}",
    "{title}：换个口味，不止{like}",
    "除了{like}，也试试{title}",
    "看腻了{like}？来点不一样的{title}",
    "今天不聊{like}，聊聊{title}",
    "一起发现{title}",
    "值得{verb}的{noun}：{title}",
    "{title}，正等着你",
    "为你推荐：{title}",
    "今日新发现：{title}",
    "{title}：走近{category}",
    "今日{category}精选：{title}",
    "{title}，多一点{tag}",
    "关于{tag}的一切：{title}",
    "{title}：{category}与{tag}的相遇",
)

HEADLINE_DOMAIN = {
    "e-commerce": (
        "给购物车添点{match}：{title}",
        "用{title}犒劳爱{match}的自己",
        "把{title}带回家",
        "本店为你挑中：{title}",
    ),
    "social": (
        "大家都在聊{match}：{title}",
        "加入{match}话题：{title}",
        "这条你看过吗？{title}",
        "朋友们都在转：{title}",
    ),
    "news": (
        "{match}最新动态：{title}",
        "你的{match}快报：{title}",
        "今日要闻：{title}",
        "今天值得读的：{title}",
    ),
    "education": (
        "跟着{title}，把{match}学得更深",
        "进阶{match}，从{title}开始",
        "从{title}开始学习",
        "你的下一课：{title}",
    ),
    "entertainment": (
        "今晚属于{match}：{title}",
        "下一个{match}之夜：{title}",
        "静下心来，享受{title}",
        "加入你的片单和书单：{title}",
    ),
}

REASON = (
    "你常常关注{match}，{title}应该很适合你。",
    "因为你喜欢{match}，我们觉得你会爱上{title}。",
    "{title}的主角正是{match}，和你的心意很近。",
    "你对{match}的兴趣，让我们想到了{title}。",
    "{title}同时有{match}和{match2}，与你十分合拍。",
    "{title}很符合你对{match}的喜好。",
    "既然{match}总能吸引你，不妨从{title}继续。",
    "如果你想找{match}，{title}值得{verb}。",
    "我们为你挑选了{title}，因为你热爱{match}。",
    "说到{match}就会想到{title}，所以推荐给你。",
    "你平时多看{like}，{title}会带来不一样的感觉。",
    "{title}和{like}不同，正好换换心情。",
    "除了{like}，你也许还会喜欢{title}。",
    "想暂时离开{like}，可以从{title}开始。",
    "你已经很懂{like}了，让{title}给你一点惊喜。",
    "{title}可以让你从{like}里歇一歇。",
    "{title}是一份值得你花点时间的{noun}。",
    "我们认为{title}值得仔细看看。",
    "给{title}一点时间，它很有特色。",
    "{title}也许正是你在找的。",
    "这是今天为你选出的{title}。",
    "如果你对{category}感到好奇，就从{title}开始吧。",
    "想了解{category}，{title}是不错的入口。",
    "{title}的亮点在于{tag}。",
    "喜欢{tag}的人都值得{verb}{title}。",
    "{title}把{category}和{tag}放在了一起。",
)

REASON_DOMAIN = {
    "e-commerce": (
        "{title}和你选过的{match}好物很搭。",
        "像你这样看重{match}的顾客，应该看看{title}。",
        "{title}好看又好用，每天都用得上。",
        "{title}自用或者送人都很合适。",
    ),
    "social": (
        "你一直关注{match}，{title}正好加入讨论。",
        "{title}正是你爱分享的{match}帖子。",
        "{title}引发了不少讨论，来说说你的看法吧。",
        "花一分钟看看{title}，再告诉大家你的想法。",
    ),
    "news": (
        "你关心{match}，{title}带来最新进展。",
        "{title}是今天不该错过的{match}报道。",
        "{title}讲清了来龙去脉和它的意义。",
        "读一读{title}，今天的事心里有数。",
    ),
    "education": (
        "你正在学{match}，{title}能带你更进一步。",
        "{title}建立在你已经掌握的{match}之上。",
        "{title}一步一步讲解，按自己的节奏学就好。",
        "跟着{title}，这周就能学到新东西。",
    ),
    "entertainment": (
        "你的{match}之夜，可以用{title}继续。",
        "{title}里有你百看不厌的{match}。",
        "{title}很适合安静的夜晚。",
        "坐下来放松一下，好好享受{title}。",
    ),
}

SUMMARY_OPENERS = (
    "{title}是一份关于{category}的{noun}。",
    "{title}是一份带有{tag}色彩的{noun}。",
    "{title}属于{category}，偏向{tag}。",
    "{title}的核心是{tag}。",
    "{title}带你走进{category}。",
    "在{title}里，{category}是主角。",
    "{title}把{tag}和{tag2}汇集在一处。",
    "有了{title}，就有了地道的{category}。",
    "{title}是一份令人难忘的{noun}。",
    "认识一下{title}，一份很有个性的{noun}。",
    "{title}简单、清楚、让人舒服。",
    "{title}比你想的更有内容。",
    "{title}本身就是最好的说明。",
)

SUMMARY_CLOSERS = (
    "它与你对{match}的兴趣很合拍。",
    "如果你喜欢{match}，那就是它了。",
    "你热爱{match}，选它很自然。",
    "它有你喜欢的{match}。",
    "其中既有{match}，也有{match2}。",
    "像你一样热爱{match}的人都值得{verb}。",
    "它和{like}不同，但同样精彩。",
    "如果你平时多看{like}，它会让你惊喜。",
    "先把{like}放一放，看看它吧。",
    "它很值得你花时间。",
    "不妨看看是否合你心意。",
    "它很容易让人喜欢。",
    "你也许会一再回来看它。",
)

SUMMARY_CLOSERS_DOMAIN = {
    "e-commerce": ("现在就可以放进购物车。", "放在家里或者送人都好看。"),
    "social": ("读完来一起聊聊吧。", "分享给在意它的朋友吧。"),
    "news": ("读下去，了解它意味着什么。", "今天用几分钟就能读完。"),
    "education": ("你可以按自己的节奏学习。", "每一课都让你更进一步。"),
    "entertainment": ("留给一个安静的夜晚吧。", "和朋友一起分享也不错。"),
}
