"""Words that the demo model's training titles are made of: written for this purpose, one list per part of speech."""

from typing import Final


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ADJECTIVES: Final = _split(
    "red blue green white black silver golden pink amber ivory crimson violet quiet bright tiny large little "
    "grand old new hidden lost broken silent wild gentle happy sweet bitter cold warm dry deep high low long "
    "short round square wooden woollen cotton linen ceramic glass paper brass copper steel rustic vintage retro "
    "modern classic simple fancy folding hanging rolling floating travelling portable wireless smart organic "
    "handmade striped spotted floral printed painted assorted mini maxi double triple single final first second "
    "third last secret royal polar northern southern eastern western urban rural digital practical essential "
    "advanced basic creative honest brave lonely perfect strange dark light heavy soft hard slow fast early "
    "late open empty full fresh pure rare common global local public private"
)
NOUNS: Final = _split(
    "heart holder lantern candle mug teapot basket bag box tin tray clock lamp frame mirror cushion blanket "
    "scarf towel apron bowl plate spoon cup bottle jar umbrella garden kitchen table chair shelf drawer door "
    "window wall floor roof notebook pencil card ribbon sticker stamp puzzle toy bear rabbit owl fox horse bird "
    "fish cat dog dragon wolf river mountain forest ocean island desert valley bridge tower castle city village "
    "street house road train ship boat rocket star moon sun planet storm winter summer spring autumn night "
    "morning evening day year hour time dream memory shadow fire water stone iron gold silk rain snow wind "
    "cloud king queen prince soldier doctor teacher writer painter sailor thief ghost stranger brother sister "
    "mother father daughter son friend enemy family war peace love hate hope fear truth lie game song dance "
    "letter story tale legend journey road trail map key lock code machine engine robot camera phone speaker "
    "keyboard battery cable charger adapter headset tablet laptop server network data science history physics "
    "chemistry biology algebra geometry statistics grammar writing reading speaking drawing painting "
    "photography cooking baking sewing knitting running cycling swimming yoga football tennis chess market "
    "price budget tax bank election parliament minister court law police hospital vaccine climate energy power "
    "plant harvest wheat coffee tea chocolate bread cheese salad soup noodle recipe guide course lesson "
    "workshop lecture handbook primer review report update debate launch festival concert match season league "
    "final record award prize gift set pack kit collection edition series"
)
VERBS: Final = _split(
    "building making finding losing chasing watching reading writing learning teaching growing cooking fixing "
    "saving understanding designing planning crossing climbing leaving meeting following opening closing "
    "breaking catching falling"
)
FUNCTION_WORDS: Final = _split(
    "of in for with without under over beyond before after from to and at on a the a the what you your this "
    "that is are how why my we it its when where who not all one more new yes no or but by as into about up out "
    "off every only still"
)
TAGS: Final = _split(
    "home decor garden travel budget vegan handmade gift kids family outdoor indoor fitness wellness skincare "
    "fashion shoes jewellery watches gadgets audio gaming coding python databases robotics astronomy history "
    "politics economy business startups investing climate energy health medicine nutrition recipes baking "
    "coffee tea wine drama comedy thriller horror romance fantasy adventure mystery crime documentary animation "
    "musical western war biography sci-fi film-noir jazz rock classical pop folk football basketball tennis "
    "running cycling chess photography painting design architecture writing poetry languages spanish french "
    "maths statistics physics chemistry biology psychology philosophy parenting pets cats dogs gardening "
    "camping hiking fishing sailing cars trains aviation space nature wildlife ocean weather local world "
    "science technology education music books film television theatre art culture food sport style beauty "
    "christmas easter party stationery kitchen storage lighting textiles toys retro vintage minimalism "
    "sustainable luxury classics young-adult non-fiction graphic-novels contemporary historical paranormal "
    "dystopia magic friendship society opinion analysis careers"
)
ZH_TAGS: Final = _split(
    "家居 装饰 园艺 旅行 省钱 素食 手工 礼物 亲子 户外 健身 养生 护肤 时尚 鞋靴 首饰 手表 数码 音响 游戏 编程 "
    "数据库 机器人 天文 历史 政治 经济 商业 创业 理财 气候 能源 健康 医学 营养 菜谱 烘焙 咖啡 茶 美酒 剧情 喜剧 "
    "惊悚 恐怖 爱情 奇幻 冒险 悬疑 犯罪 纪录片 动画 歌舞 西部 战争 传记 科幻 爵士 摇滚 古典 流行 民谣 足球 篮球 "
    "网球 跑步 骑行 象棋 摄影 绘画 设计 建筑 写作 诗歌 语言 英语 日语 数学 统计 物理 化学 生物 心理 哲学 育儿 "
    "宠物 猫 狗 花卉 露营 徒步 钓鱼 航海 汽车 火车 航空 太空 自然 野生动物 海洋 天气 本地 国际 科学 科技 教育 "
    "音乐 图书 电影 电视 戏剧 艺术 文化 美食 体育 穿搭 美妆 节日 聚会 文具 厨房 收纳 灯具 家纺 玩具 复古 极简 "
    "环保 轻奢 经典 青春 职场 社会 评论 分析 求职 友情 校园 武侠 历史小说 都市 乡村 民俗 非遗 书法 国画 围棋 "
    "太极 瑜伽 减脂 早餐 夜宵 火锅"
)
ZH_WORDS: Final = _split(
    "白色 红色 蓝色 复古 木质 陶瓷 玻璃 棉麻 迷你 便携 无线 智能 手工 折叠 悬挂 简约 经典 秘密 遥远 失落 沉默 "
    "温暖 冰冷 最后 第一 北方 南方 春天 夏天 秋天 冬天 夜晚 清晨 黄昏 灯笼 蜡烛 马克杯 茶壶 篮子 收纳盒 时钟 "
    "台灯 相框 镜子 靠垫 毛毯 围巾 毛巾 围裙 碗 盘子 勺子 水壶 雨伞 花园 厨房 桌子 椅子 书架 笔记本 铅笔 贺卡 "
    "拼图 小熊 兔子 猫头鹰 狐狸 骏马 飞鸟 巨龙 河流 高山 森林 海洋 岛屿 沙漠 山谷 大桥 高塔 城堡 城市 村庄 街道 "
    "房子 列车 帆船 火箭 星空 月亮 太阳 行星 风暴 梦境 记忆 影子 火焰 石头 国王 王后 士兵 医生 老师 作家 画家 "
    "水手 小偷 陌生人 兄弟 姐妹 母亲 父亲 朋友 战争 和平 爱情 希望 真相 谎言 游戏 歌谣 舞会 信件 故事 传说 旅程 "
    "地图 钥匙 密码 机器 相机 手机 音箱 键盘 电池 耳机 平板 电脑 网络 数据 历史 物理 化学 代数 几何 统计 语法 "
    "写作 阅读 口语 素描 摄影 烹饪 烘焙 缝纫 跑步 骑行 游泳 瑜伽 足球 网球 象棋 市场 价格 预算 税收 银行 选举 "
    "法院 法律 医院 疫苗 气候 能源 工厂 收成 咖啡 绿茶 巧克力 面包 沙拉 面条 入门 进阶 实战 指南 教程 讲座 手册 "
    "评测 报告 快讯 观察 首发 节日 演唱会 决赛 纪录 奖项 礼盒 套装 合集 系列 全集 攻略 心得 分享 日记 清单"
)
ZH_JOINTS: Final = ("的", "与", "和", "：", "·", "，", "之", "里的", "中的", "还是", "不止", " ", "——", "！")
SYLLABLES: Final = _split(
    "ba be bi bo ca ce co da de di do fa fe fi fo ga ge go ha he ho ja jo ka ke ki ko la le li lo lu ma me mi "
    "mo mu na ne ni no pa pe po ra re ri ro ru sa se si so su ta te ti to tu va ve vi vo wa we wi ya yo za ze "
    "an en in on un ar er ir or al el il ol as es is os ent ing ter ton son ber der ley ster ford ham wick ner "
    "man ell ock ish orn ast ump ight ound eck"
)
ONSETS: Final = _split(
    "b bl br c ch cl cr d dr f fl fr g gl gr h j k kn l m n p ph pl pr qu r s sc sch sh shr sk sl sm sn sp spl "
    "spr st str sw t th thr tr tw v w wh wr y z un re de in ex con com pro per dis en im mis sub over under "
    "inter"
)
VOWELS: Final = _split(
    "a a a e e e i i i o o o u u ai au aw ay ea ea ee ei ew ey ia ie io oa oi oo oo ou ou ow oy ue ui y"
)
CODAS: Final = _split(
    "b ck ct d dd ff ft g gg gh ght k l ld lf lk ll lm lp lt m mb mm mp n nc nd ng nk nn nt p pp pt r rd rg rk "
    "rl rm rn rp rs rt rv s sh sk sp ss st t tch th tt v w x z zz ge ce se te le me ne re ve de ke pe"
)
SUFFIXES: Final = _split(
    "s s es ed ed er er ers ing ing ings ly y ies est ness ment tion tions sion al ial ous ious ity ive able "
    "ible ist ism ful less ship hood age ance ence ant ent ary ory ize ise ic ical ics ure ward proof style "
    "made"
)
COMMON: Final = _split(
    "about above account across act age air alive alone always america american and angel animal another answer "
    "any apple army around art ask atlas autumnal away baby back bad ball band bar bath battle beach beast beauty "
    "beautiful become bed begin being believe bell best better beyond big bike birthday black blind blood body bone "
    "book born boy brain breath bride business butterfly button cake call can candy captain care carry case century "
    "chain chance change character child children china chinese choice christmas church circle class clean clear "
    "club coast code coin colour color come company complete control corner count country crazy cream crime crown "
    "cry curse cut daily dare date dead deadly dear death decorative deluxe demon design devil diamond diary die "
    "dinner dish do don double down dress drive drop duty each earth easter easy edge egg eight eleven elephant "
    "empire end english escape essays eternal ever evil eye eyes face fairy faith fall famous farm fashion fate "
    "father feather feel feet felt field fight fifty finger finish five flag flame flower flowers fly folk food fool "
    "foot for forever forget forgotten four free french fruit full funny future gate german get giant girl girls "
    "give glory go god gods good goodbye grace grand grandmother grave great grey ground group guest gun hair half "
    "hall hand hands hanging happiness hard have head heaven hell hello help her here hero herself high him himself "
    "his holiday holy home hot hundred hunger hunter husband if illustrated immortal infinite inside instant "
    "invisible irish it's jam jewel job joy judge jumbo jump just justice keep keeper kept kid kill killer killing "
    "kind kingdom kiss knife knight know knows lace lady lake land language large last law lead leaf league learn "
    "left leg legacy let liar liberty library life lights like line lion little live lives living long look lord "
    "loss lot love lover lovely lunch machine magic make man many march mark marriage mask master matter may me "
    "meaning medium memoir men merry metal mid midnight mile milk million mind mine miss mister moment money monkey "
    "monster moonlight more most mother mountain mouse move movie mrs much murder music must my mystery myself "
    "mystic myth naked name natural near neck need never next nice night nights nine nobody none north not nothing "
    "novel now number ocean off oh old once one only orange order origin origins other our outside own pack page "
    "pain pair palace pants paper paradise parents part party pass past path peace pearl people perfume picture "
    "pieces pink pirate place plan play player please pocket poems poet point polka poor pot power present pretty "
    "pride princess prison private problem promise proof protocol purple purse quest question quick quilt rage "
    "rainbow raven ready real really rebel red redemption remember return revenge revolution rich ride right ring "
    "rise rites road robin rock roll room rose rosie royal rules run sacred sad sailor saint salt same sand save "
    "school sea season second secret secrets see self sense set seven seventh sex shade shape she shell ship shop "
    "shot show side sign silence simple sin since singing sister six size skin skull sky sleep small smile smith "
    "smoke snake so soap society soldiers some someone something son songs soul sound south spaceboy spell spider "
    "spirit spy square stand star start state station stay steal step sticks still stock stone stop store stories "
    "strange street strong student study style such sugar suicide suit sunshine surf survival sword system take "
    "taking tea tears tell ten texas than thank their them then there these they thing things think thinking third "
    "this those thousand three through thunder ticket tiger till time times tired today together tomorrow tonight "
    "too top touch town toy trade trap travel treasure tree trial tribe trip trouble true trust turn twelve twenty "
    "twilight twin two ugly ultimate under unexpected union universe until unknown upon us use valentine vampire "
    "vanilla very victory view village violet virgin virtue vision visit voice wait wake walk want warrior was "
    "watch water wave way we weather wedding week well were west what wheel when where which whisper white who why "
    "wife wild will win wine wing wings winner wish witch with within without woman women wonder wonderful wooden "
    "word words work world worlds worst would wrap write wrong yard yellow yes young your zero zinc zombie zoo"
)
NAMES: Final = _split(
    "James Mary John Anna Peter Paul Alice Emma Charles George Henry Jack Jane Kate Laura Lucy Mark Martin Max "
    "Michael Nick Oliver Rachel Robert Rose Ruth Sam Sarah Simon Sophie Thomas Tom Will William Adam Ben Bob "
    "Catherine Daniel David Edward Elena Frank Grace Hannah Harry Helen Ivan Joe Joseph Julia Karl Lee Leo Lily "
    "Louis Maria Nora Oscar Rosa Steve Susan Victor London Paris Rome Berlin Moscow Tokyo Boston Chicago York "
    "California Africa India Japan France Spain Italy England Ireland Scotland Egypt Brazil Jr. Dr. Mr. Mrs. St."
)
FOREIGN: Final = _split(
    "le la les de du des el los las un una uno der die das den il lo gli e et y o con por para en al del von zu und "
    "im am da di della delle sur sous dans mon ma mi mia que qui no se su sa ne pas est och av en det som na po za "
    "nie ve bir amor vida noche casa hombre mujer vie amour homme femme nuit jour monde coeur vita notte casa "
    "uomo donna tempo mondo Liebe Leben Nacht Tag Herz Welt Mann Frau Stadt Zeit"
)
