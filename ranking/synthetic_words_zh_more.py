"""Chinese vocabulary of the synthetic world, second half: education and entertainment."""

from ranking.synthetic_words import DomainWords, category, words

EDUCATION_ZH = DomainWords(
    domain="education",
    language="zh",
    brand_key="instructor",
    brands=words("林若水、陈一鸣、周老师、Openbench、何思远、九号教室、苏晴"),
    qualifiers=words("实战、入门、进阶、周末、轻松、系统、项目式、精讲"),
    titles=(
        "{n}周学会{subject}",
        "{subject}{qualifier}课",
        "零基础{subject}",
        "{brand}讲{subject}",
        "{subject}：{detail}",
        "{subject} Level {n}",
        "{subject}（{year}版）",
        "{qualifier}{subject}{n}讲",
        "{subject}+{detail}",
        "如何自学{subject}？",
    ),
    texts=(
        "{brand}的{qualifier}课程，{detail}，学完就能做出自己的作品。适合对{tag}感兴趣的同学。",
        "一步一步学{subject}。共{n}节，每节都有{detail}，不需要{tag}基础。",
        "像工作中那样学{subject}：{detail}，{detail2}，还有及时反馈。",
        "课程不长，重在{detail}。关于{tag}的问题，一天之内回复。",
        "把{subject}变成习惯，从{detail}开始。可以申请结课证书。",
    ),
    categories=(
        category(
            "programming",
            "编程",
            "Python 入门、网站后端、Rust 实例、单元测试、手机应用开发、"
            "命令行脚本、小游戏开发、类型系统、并发编程、SQL 查询",
            "每周代码点评、小练习、作品集项目、结对编程、带注释的答案、调试日记",
            "Python、前端、数据库、测试、算法、开源",
            (0.0, 180.0),
        ),
        category(
            "data",
            "数据科学",
            "统计学、时间序列、图表设计、线性模型、问卷设计、推荐系统、数据清洗、因果分析、电子表格、地图可视化",
            "真实数据、每周一个笔记本、完整例题、结课报告、同学互评、随堂小测",
            "统计、机器学习、可视化、预测、调研、表格",
            (0.0, 220.0),
        ),
        category(
            "languages",
            "语言学习",
            "旅行西班牙语、生活日语、商务德语、法语发音、"
            "英语习语、葡萄牙语歌曲、阿拉伯字母、韩语会话、粤语日常、文言文",
            "每日卡片、外教陪练、情景对话、读书小组、散步听力、短语手册",
            "词汇、发音、语法、口语、写作、备考",
            (0.0, 120.0),
        ),
        category(
            "design",
            "设计",
            "字体与版式、屏幕配色、人物速写、标志改造、家具制图、动效基础、图案设计、界面点评、纸面原型、书法",
            "速写习惯、前后对比、现场点评、可打印模板、个人海报、每周命题",
            "字体、绘画、界面、色彩、插画、手作",
            (10.0, 160.0),
        ),
        category(
            "business",
            "职场商务",
            "高效会议、方案写作、服务定价、新手管理、记账基础、谈判、用户访谈、项目规划、公众演讲、招聘面试",
            "角色扮演、现成清单、录音复盘、一页计划、案例拆解、导师答疑",
            "管理、财务、营销、沟通、效率、职业规划",
            (15.0, 260.0),
        ),
        category(
            "music",
            "音乐课",
            "布鲁斯吉他、五线谱、合唱、家庭录音、四十岁学钢琴、手鼓、词曲创作、视唱练耳、尤克里里、古筝",
            "伴奏音轨、慢动作示范、练习记录、二重奏伙伴、曲谱下载、线上演奏会",
            "吉他、钢琴、声乐、乐理、节奏、录音",
            (5.0, 110.0),
        ),
    ),
)

SCREEN_ZH = DomainWords(
    domain="entertainment",
    language="zh",
    brand_key="director",
    brands=words("沈默然、顾北、许知夏、白鹿、罗闻、叶青川、唐小棠"),
    qualifiers=words("温柔、奇异、紧凑、冷幽默、忧郁、明亮、悬念十足、治愈"),
    titles=(
        "{subject}",
        "{subject}（{year}）",
        "{subject}：{detail}",
        "{subject} 第{n}季",
        "{subject}{n}",
        "{detail}的{subject}",
        "重返{detail}",
        "{detail}·{subject}",
        "{subject}与{detail}",
        "{subject}！",
    ),
    texts=(
        "{brand}讲述的{qualifier}故事，关于{tag}，也关于重新开始。一切从{detail}说起。",
        "{detail}出了大事，一家人只有{n}天时间。{qualifier}，充满{tag}。",
        "{brand}带着{qualifier}的{category}新作归来，喜欢{tag}和{tag2}的观众不要错过。",
        "两个陌生人，一个秘密，{detail}。献给喜欢{tag}的夜晚。",
        "不吵不闹，慢慢展开；最后{n}分钟，{qualifier}得让人难忘。",
    ),
    categories=(
        category(
            "scifi",
            "科幻",
            "盐月亮、第九中继站、玻璃轨道、明日制图师、失联信号、寒冷花园、空心恒星、第二重力、档案员、纸卫星",
            "远岸空间站、沉默舰队、元年、最后的穹顶、灰色行星、时间码头",
            "太空、机器人、时间旅行、反乌托邦、外星接触、赛博朋克",
            (2.0, 18.0),
        ),
        category(
            "comedy",
            "喜剧",
            "最差伴郎、合租的人、两只左脚、姨妈来电、替补演员、"
            "走错婚礼、小小恐慌、差点出名的邻居、会计也跳舞、山羊季节",
            "小河镇、花神旅馆、六号站台、周日合唱团、三叔、村口礼堂",
            "家庭、讽刺、搭档、职场、闹剧、暖心",
            (2.0, 15.0),
        ),
        category(
            "crime",
            "悬疑",
            "沉默的锁匠、退潮、冬天的债、第三个证人、冷账本、盲港、温和的伪造者、没有号码的房间、夜班、空白口供",
            "黑水湾、旧造币厂、九号码头、雨夜旧案、梁探长、漫长一夜",
            "侦探、盗窃、惊悚、法庭、黑色电影、推理",
            (2.0, 16.0),
        ),
        category(
            "documentary",
            "纪录片",
            "做面包的人、会记忆的河、四十个夏天、泥土之手、"
            "灯塔来信、冰层之下、小小引擎、隔壁合唱团、蜜蜂地图、混凝土与雨",
            "北方海岸、一座村庄、深海、消失的手艺、高原、我们的街道",
            "自然、历史、人物、音乐、旅行、社会",
            (0.0, 12.0),
        ),
        category(
            "romance",
            "爱情",
            "写给里斯本的信、夏日房客、慢舞、杏子季节、半个承诺、"
            "码头街书店、露台上的雪、再来一杯茶、楼上的钢琴师、迟开的花",
            "果园、十二号房、午夜渡轮、塞尔瓦湖、老剧院、春天",
            "初恋、重逢、年代、成长、假日、家族",
            (2.0, 15.0),
        ),
        category(
            "animation",
            "动画",
            "皮皮和云鲸、纽扣国王、屋顶上的狐狸、糖果海盗、"
            "最小的巨人、风筝日、小雨的伞、瞌睡龙、芦苇里的机器人、七只袜子",
            "水洼镇、倒立森林、月亮面包房、飞蛾船长、风之群岛、齿轮奶奶",
            "儿童、奇幻、冒险、手绘、友情、魔法",
            (1.0, 14.0),
        ),
    ),
)

CHINESE_B = (EDUCATION_ZH, SCREEN_ZH)
