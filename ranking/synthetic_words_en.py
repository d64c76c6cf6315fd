"""English vocabulary of the synthetic world, written for this project."""

from ranking.synthetic_words import CommentWords, DomainWords, category, words

COMMENTS_EN = CommentWords(
    praise=(
        "Exactly what I hoped for.",
        "I keep coming back to this one. More {category}, please!",
        "My sister asked me where I found it.",
        "Better than I expected, and I expected a lot.",
        "Three weeks in and still happy with it.",
        "This is why I like {category}.",
    ),
    complaint=(
        "Not for me, sorry.",
        "I wanted to like it. I could not.",
        "Too much talk, too little {category}.",
        "Fine once, never again.",
        "The description says one thing, I got another.",
    ),
)

SHOP_EN = DomainWords(
    domain="e-commerce",
    language="en",
    brand_key="brand",
    brands=words(
        "Nordvale, Kestrel & Pine, Lumora, Tavo, Birchline, Harrow Bay, Quillon, Mossgate, Oda + Finch, Brightwell"
    ),
    qualifiers=words(
        "sturdy, compact, hand-finished, lightweight, vintage-style, reusable, soft-touch, slim, extra-large, everyday"
    ),
    titles=(
        "{brand} {subject}",
        "{Qualifier} {subject} with {detail}",
        "{Subject} with {detail}",
        "{brand} {model} {subject}",
        "{brand} {qualifier} {subject}, pack of {n}",
        "{BRAND} {SUBJECT} No. {n}",
        "{Qualifier} {subject} by {brand}",
        "{Subject}: {detail} and {detail2}",
        '{brand} "{model}" {subject} ({qualifier})',
    ),
    texts=(
        "{Qualifier} {subject} from {brand} with {detail}. For anyone who loves {tag}. Packed without plastic.",
        "{brand} made the {subject} for daily use: {detail}, {detail2} and nothing you will not need.",
        "With {detail}, the {subject} will last for years. Our pick for {tag} and {tag2}.",
        "Simple to use, easy to store: {subject} with {detail}. Spare parts are sold separately.",
        "Known for {detail}, the {subject} will please friends of {tag}. Ships within {n} days.",
    ),
    categories=(
        category(
            "kitchen",
            "kitchen",
            "cast-iron skillet, pour-over kettle, bread knife, enamel casserole, "
            "salad spinner, pepper mill, baking tin, "
            "mixing bowl, tea infuser, rolling pin, chopping board, milk frother",
            "a beechwood handle, a pouring lip, a non-slip base, a tight lid, measuring marks, "
            "a steel core, a drip-free spout",
            "baking, coffee, knives, cookware, tea, meal prep",
            (6.0, 95.0),
        ),
        category(
            "outdoor",
            "outdoor gear",
            "two-person tent, trekking pole, head torch, down sleeping bag, dry bag, camping stove, insulated flask, "
            "daypack, folding chair, rain cape, bike pannier, hammock",
            "taped seams, a red night mode, aluminium pegs, a roll-top closure, "
            "a repair kit, mesh pockets, a carry strap",
            "camping, hiking, cycling, waterproof, ultralight, trail food",
            (9.0, 240.0),
        ),
        category(
            "fashion",
            "clothing",
            "linen shirt, wool cardigan, rain jacket, denim skirt, canvas sneaker, knitted scarf, leather belt, "
            "pleated trousers, cotton socks, straw hat, quilted vest, crew-neck sweater",
            "deep pockets, horn buttons, a relaxed fit, double stitching, "
            "a recycled lining, ribbed cuffs, a hidden zip",
            "linen, knitwear, streetwear, workwear, winter, summer",
            (8.0, 150.0),
        ),
        category(
            "electronics",
            "electronics",
            "wireless earbuds, mechanical keyboard, desk lamp, power bank, portable speaker, e-reader, webcam, "
            "charging dock, smart plug, fitness band, USB-C hub, mini projector",
            "a matte finish, fast charging, noise reduction, a braided cable, hot-swap switches, "
            "a 12-hour battery, touch control",
            "audio, home office, gadgets, charging, smart home, gaming",
            (12.0, 320.0),
        ),
        category(
            "home",
            "home and garden",
            "ceramic vase, linen cushion, wall clock, storage basket, scented candle, picture frame, herb planter, "
            "watering can, floor rug, bedside lamp, paper lantern, coat rack",
            "a woven pattern, a matte glaze, brass fittings, a cotton wick, drainage holes, "
            "a walnut base, a washable cover",
            "decor, storage, plants, lighting, textiles, gifts",
            (5.0, 130.0),
        ),
        category(
            "beauty",
            "beauty and care",
            "hand cream, shampoo bar, shaving brush, lip balm, clay mask, bath salt, hair oil, "
            "sunscreen stick, facial roller, nail kit, body lotion, perfume roll-on",
            "oat extract, a mild scent, cold-pressed oil, a refill pouch, sea minerals, a bamboo case, no added colour",
            "skin care, hair, vegan, fragrance, travel size, sensitive skin",
            (4.0, 60.0),
        ),
        category(
            "pantry",
            "pantry",
            "single-origin coffee, oolong tea, olive oil, wild-flower honey, dark chocolate, "
            "sourdough crackers, tomato passata, "
            "oat granola, chilli crisp, lentil soup, sea salt, peanut butter",
            "a resealable bag, a floral note, no added sugar, a glass jar, a slow roast, "
            "stone-ground spice, a smoky finish",
            "coffee, tea, organic, snacks, breakfast, spicy",
            (2.5, 32.0),
        ),
    ),
)

SOCIAL_EN = DomainWords(
    domain="social",
    language="en",
    brand_key="author",
    brands=words(
        "mara_outside, Leo K., tinybalcony, Priya writes, old.bike.club, June & Otis, northbound_ned, Sal's Corner"
    ),
    qualifiers=words("honest, messy, slow, rainy, cheerful, late-night, low-budget, accidental"),
    titles=(
        "Finally tried {subject}",
        "My {qualifier} notes on {subject}",
        "{Subject}? Yes, please!",
        "Day {n}: {subject}",
        "What nobody tells you about {subject}",
        "{n} photos of {subject}",
        "{Subject}, {detail} and a {qualifier} afternoon",
        "Ask me anything about {subject}",
        "{Subject} with {detail} (thread)",
        "Unpopular opinion: {subject} over {detail}",
    ),
    texts=(
        "It began with {detail} and ended with {detail2}. If you are into {tag}, tell me how you do it!",
        "I never planned on {subject}. Then came {detail}, and now I cannot stop. More about {tag} tomorrow.",
        "A {qualifier} post about {subject}. Bring {detail}. Leave your doubts at home.",
        "Some of you asked about {subject}, so here we go: {detail} first, {tag} second, patience always.",
        "Everybody talks about {tag}. Nobody mentions {detail}. That is half of the fun.",
    ),
    categories=(
        category(
            "travel",
            "travel",
            "night trains, packing light, island hopping, travelling alone, small border towns, ferry decks at dawn, "
            "hostel kitchens, slow mornings in Porto, winter beaches, missed connections",
            "a paper map, one good pair of shoes, a borrowed tent, an empty platform, the window seat, a wrong turn",
            "train travel, backpacking, city breaks, road trips, islands, budget travel",
        ),
        category(
            "food",
            "home cooking",
            "sourdough at home, one-pot dinners, my grandmother's dumplings, pickling everything, street noodles, "
            "tomato season, cooking for twelve, failed soufflés, midnight toast, rice-cooker cakes",
            "a heavy pan, too much garlic, a jar of chilli oil, fresh basil, a very full freezer, an old recipe card",
            "bread, noodles, vegetarian, desserts, fermentation, quick dinners",
        ),
        category(
            "pets",
            "pets",
            "adopting an old dog, cats on keyboards, hamster tunnels, rainy dog walks, the first vet visit, "
            "teaching a parrot manners, foster kittens, life with two rabbits, "
            "a very shy tortoise, the 5 a.m. breakfast alarm",
            "a cardboard box, endless treats, one chewed slipper, a squeaky toy, a patient neighbour, a warm radiator",
            "dogs, cats, adoption, training, small pets, pet photos",
        ),
        category(
            "fitness",
            "fitness",
            "running in the rain, the first pull-up, yoga at lunch, cold-water swimming, bouldering on Mondays, "
            "training for 10 km, stretching at my desk, cycling to work, a rest week, slow marathon plans",
            "old trainers, a foam roller, a stubborn knee, the right playlist, a friend who waits, a cheap watch",
            "running, yoga, climbing, swimming, cycling, motivation",
        ),
        category(
            "photography",
            "photography",
            "film cameras, street portraits, foggy harbours, the blue hour, "
            "pictures of strangers' bikes, macro in the garden, "
            "a 50 mm lens, printing at home, contact sheets, neon after rain",
            "one roll of film, a shaky tripod, low light, a second-hand lens, golden light, a very patient model",
            "film, street, macro, portraits, landscape, editing",
        ),
        category(
            "parenting",
            "family life",
            "screen-free Sundays, lunch boxes, bedtime negotiations, the first day of school, camping with toddlers, "
            "sibling peace talks, reading aloud, lost mittens, teaching a child to ride, homemade costumes",
            "a bag of crayons, zero sleep, a grandmother on the phone, a secret biscuit, "
            "a long checklist, one calm parent",
            "toddlers, school, crafts, bedtime, weekend ideas, reading",
        ),
    ),
)

NEWS_EN = DomainWords(
    domain="news",
    language="en",
    brand_key="outlet",
    brands=words("The Harbour Post, Northern Ledger, City Desk, Daily Meridian, The Fieldnote, Open Square"),
    qualifiers=words("quiet, costly, sudden, long-awaited, fragile, unusual, overdue, careful"),
    titles=(
        "{Subject}: what changes this year",
        "Why {subject} will matter to {detail}",
        "{n} questions about {subject}",
        "How {subject} could divide {detail}",
        "{Detail} and {subject}: a {qualifier} turn",
        "The {qualifier} story behind {subject}",
        "{Subject} after {year}: {n} charts",
        '"We were not asked": {detail} on {subject}',
        "Explainer: {subject}",
        "{Subject}: a {qualifier} test",
    ),
    texts=(
        "For {detail}, {subject} can be more than a headline. {brand} asked around. Their view: {qualifier} at best.",
        "A {qualifier} decision puts {subject} back on the agenda. Experts on {tag} are divided, and so are {detail}.",
        "Numbers released this week show what {subject} could mean. {Detail} welcome it; {detail2} do not.",
        "What began as a question of {tag} now concerns {detail}. An overview in {n} steps.",
        "{brand} explains {subject}: who decides, who pays and what {detail} can do.",
    ),
    categories=(
        category(
            "local",
            "local news",
            "the night bus network, the new footbridge, the market hall, library opening hours, the river festival, "
            "empty shopfronts, the school merger, bike lanes on Mill Street, the allotment plan, the town budget",
            "shop owners, night-shift workers, pupils, long-time residents, the council, commuters",
            "transport, housing, council, schools, neighbourhood, festivals",
        ),
        category(
            "economy",
            "economy",
            "the price of bread, the four-day week, rising rents, the copper boom, regional banks, second-hand trade, "
            "the pension gap, container rates, the coffee harvest, start-up layoffs",
            "small landlords, first-time buyers, exporters, apprentices, savers, union leaders",
            "inflation, labour, markets, trade, housing costs, start-ups",
        ),
        category(
            "technology",
            "technology",
            "open-source chips, the satellite rush, voice assistants at work, the right to repair, undersea cables, "
            "smaller language models, electric ferries, home batteries, digital ID cards, robot warehouses",
            "engineers, privacy groups, hospitals, regulators, hobbyists, teachers",
            "artificial intelligence, privacy, chips, energy storage, robots, software",
        ),
        category(
            "science",
            "science",
            "the moon soil samples, a vaccine patch, deep-sea sponges, the sleep study, "
            "ancient pollen, a new kind of glass, "
            "the bee census, gravitational echoes, seagrass meadows, the memory experiment",
            "field biologists, young doctors, astronomers, volunteers, patients, museum staff",
            "space, medicine, biology, archaeology, physics, oceans",
        ),
        category(
            "sport",
            "sport",
            "the women's league final, a goalkeeper's comeback, the mountain stage, the relay record, youth handball, "
            "the stadium rebuild, the transfer window, the curling surprise, a chess upset, the harbour regatta",
            "season-ticket holders, young players, the coaching staff, rival fans, referees, sponsors",
            "football, cycling, athletics, winter sport, chess, sailing",
        ),
        category(
            "climate",
            "climate",
            "the drought map, urban trees, glacier loss, flood insurance, the heat-pump queue, peatland repair, "
            "the coal exit, rewilded rivers, summer smog, the wind-farm vote",
            "farmers, coastal towns, foresters, insurers, tenants, fishing crews",
            "drought, renewables, forests, floods, cities, agriculture",
        ),
    ),
)

ENGLISH_A = (SHOP_EN, SOCIAL_EN, NEWS_EN)
