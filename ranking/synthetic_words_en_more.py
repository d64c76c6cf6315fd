"""English vocabulary of the synthetic world, second half: education and entertainment."""

from ranking.synthetic_words import DomainWords, category, words

EDUCATION_EN = DomainWords(
    domain="education",
    language="en",
    brand_key="instructor",
    brands=words("Dr Ines Hallam, Tom Verrault, Akiko Lund, Prof. Dele Marsh, Openbench, Studio Nine, Rosa Whitlock"),
    qualifiers=words("short, hands-on, practical, project-based, weekend, slow, friendly, thorough"),
    titles=(
        "{Subject} in {n} weeks",
        "{Subject}: a {qualifier} course",
        "{Subject} with {detail}",
        "{Subject}, level {n}",
        "A {qualifier} course in {subject}",
        "{brand}: {subject}",
        "{Subject} from zero: {detail}",
        "{n} lessons on {subject}",
        "{Subject} + {detail} ({year} edition)",
        "How to teach yourself {subject}",
    ),
    texts=(
        "A {qualifier} course by {brand}. You practise {subject} with {detail} and finish with work to show.",
        "Learn {subject} step by step. Each of the {n} lessons ends with {detail}. No need to know {tag} beforehand.",
        "{brand} teaches {subject} the way it is used at work: {detail}, {detail2} and plenty of feedback.",
        "For everyone curious about {tag}. Lessons are short and {detail} will keep you going.",
        "This class turns {subject} into a habit. Expect {detail} every week. Certificate on request.",
    ),
    categories=(
        category(
            "programming",
            "programming",
            "Python for beginners, web back ends, Rust by example, clean tests, mobile apps, shell scripting, "
            "game loops, type systems, concurrent code, SQL queries",
            "weekly code review, small exercises, a portfolio project, pair sessions, "
            "annotated solutions, a debugging diary",
            "python, web, databases, testing, algorithms, open source",
            (0.0, 180.0),
        ),
        category(
            "data",
            "data science",
            "statistics without fear, time series, honest charts, linear models, survey design, recommender systems, "
            "data cleaning, causal questions, spreadsheets, maps from data",
            "real data sets, a notebook a week, worked examples, a final report, peer feedback, small quizzes",
            "statistics, machine learning, visualisation, forecasting, surveys, spreadsheets",
            (0.0, 220.0),
        ),
        category(
            "languages",
            "languages",
            "Spanish for the road, everyday Japanese, Chinese characters, business German, French pronunciation, "
            "English idioms, Portuguese songs, Arabic script, Korean conversation, Latin for fun",
            "daily cards, native speakers, short dialogues, a reading club, listening walks, a phrase notebook",
            "vocabulary, pronunciation, grammar, conversation, writing, exam preparation",
            (0.0, 120.0),
        ),
        category(
            "design",
            "design",
            "type and layout, colour for screens, sketching people, logo redesign, furniture drawings, motion basics, "
            "pattern making, interface critique, paper prototypes, hand lettering",
            "a sketchbook habit, before-and-after pages, live critique, printable templates, "
            "a personal poster, weekly briefs",
            "typography, drawing, user interfaces, colour, illustration, craft",
            (10.0, 160.0),
        ),
        category(
            "business",
            "business skills",
            "clear meetings, writing proposals, pricing a service, first-time leadership, "
            "bookkeeping basics, negotiation, "
            "customer interviews, project planning, public speaking, hiring well",
            "role play, ready-made checklists, recorded calls, a one-page plan, case studies, a mentor hour",
            "leadership, finance, marketing, communication, productivity, careers",
            (15.0, 260.0),
        ),
        category(
            "music",
            "music lessons",
            "blues guitar, reading scores, choir singing, home recording, piano at forty, hand drums, "
            "songwriting, ear training, ukulele evenings, mixing a demo",
            "backing tracks, slow-motion videos, a practice log, duet partners, downloadable tabs, a recital online",
            "guitar, piano, singing, theory, rhythm, recording",
            (5.0, 110.0),
        ),
    ),
)

SCREEN_EN = DomainWords(
    domain="entertainment",
    language="en",
    brand_key="director",
    brands=words("Mira Okafor, Jonas Veld, Anneli Strand, Pablo Rivas, Hana Whitmore, Theo Lindqvist, Ruth Abara"),
    qualifiers=words("tender, strange, fast-paced, dry-humoured, moody, colourful, tense, warm-hearted"),
    titles=(
        "{subject}",
        "{subject} ({year})",
        "{subject} of {detail}",
        "{subject}: {detail}",
        "{subject}, season {n}",
        "{subject} {n}",
        "Return to {detail}",
        "{detail}, Part {n}: {subject}",
        "{subject} and {detail}",
        "{SUBJECT}!",
    ),
    texts=(
        "A {qualifier} story by {brand} about {tag} and second chances. It leads from {detail} to the unplanned.",
        "When everything in {detail} goes wrong, a family has {n} days to fix it. {Qualifier} and full of {tag}.",
        "{brand} returns with a {qualifier} {category} piece. Fans of {tag} and {tag2} will feel at home.",
        "Two strangers, one secret, {detail}. A {qualifier} evening for lovers of {tag}.",
        "{Qualifier}, never loud: this {category} title takes its time, and the last {n} minutes repay it.",
    ),
    categories=(
        category(
            "scifi",
            "science fiction",
            "Salt Moons, The Ninth Relay, Glass Orbit, Tomorrow's Cartographer, Signal Lost, "
            "The Cold Garden, Hollow Star, "
            "Second Gravity, The Archivist, Paper Satellites",
            "Orrin Station, the Far Shelf, Kepler Bay, the Silent Fleet, Year Zero, the Last Dome",
            "space travel, robots, time travel, dystopia, first contact, cyberpunk",
            (2.0, 18.0),
        ),
        category(
            "comedy",
            "comedy",
            "The Worst Best Man, Lodgers, Two Left Boots, Auntie Goes Electric, "
            "The Understudies, Wrong Wedding, Mild Panic, "
            "Almost Famous Neighbours, The Tax Man Dances, Goat Season",
            "Little Haddon, the Hotel Flora, Platform Six, the Sunday Choir, Uncle Benno, the Village Hall",
            "family, satire, buddy story, workplace, slapstick, feel-good",
            (2.0, 15.0),
        ),
        category(
            "crime",
            "crime",
            "The Quiet Locksmith, Low Tide, A Debt in Winter, The Third Alibi, Cold Ledger, "
            "Blind Harbour, The Gentle Forger, "
            "Room With No Number, Night Shift, The Last Witness",
            "Blackwater, the Old Mint, Pier Nine, the Marlow Case, Inspector Rask, the Long Night",
            "detective, heist, thriller, courtroom, noir, mystery",
            (2.0, 16.0),
        ),
        category(
            "documentary",
            "documentary",
            "The Bread Makers, Rivers That Remember, Forty Summers, Hands of Clay, "
            "The Lighthouse Letters, Under the Ice, "
            "Small Engines, The Choir Next Door, A Map of Bees, Concrete and Rain",
            "the Northern Coast, one Village, the Deep, a Vanished Trade, the High Plateau, our Street",
            "nature, history, portrait, music, travel, society",
            (0.0, 12.0),
        ),
        category(
            "romance",
            "romance",
            "Letters to Lisbon, The Summer Tenant, Slow Dance, Apricot Season, Half a Promise, "
            "The Bookshop on Quay Street, "
            "Snow on the Terrace, Once More With Tea, The Pianist Upstairs, Late Bloomers",
            "Verano, the Orchard, Room Twelve, the Midnight Ferry, Lake Selva, the Old Theatre",
            "love story, second chance, period drama, coming of age, holiday, family saga",
            (2.0, 15.0),
        ),
        category(
            "animation",
            "animation",
            "Pip and the Cloud Whale, The Button King, Fox on the Roof, Marzipan Pirates, "
            "The Smallest Giant, Kite Days, "
            "Oona's Umbrella, The Sleepy Dragon, Robot in the Reeds, Seven Socks",
            "Puddle Town, the Upside-Down Forest, the Moon Bakery, Captain Moth, the Windy Isles, Grandma Gear",
            "kids, fantasy, adventure, hand-drawn, friendship, magic",
            (1.0, 14.0),
        ),
    ),
)

ENGLISH_B = (EDUCATION_EN, SCREEN_EN)
