"""English sentence skeletons: {match} is an interest that the item has, {like} one that it has not."""

NOUNS = {
    "e-commerce": "find",
    "social": "post",
    "news": "story",
    "education": "course",
    "entertainment": "pick",
    "": "suggestion",
}
VERBS = {
    "e-commerce": "try",
    "social": "open",
    "news": "read",
    "education": "take",
    "entertainment": "enjoy",
    "": "look at",
}

HEADLINE = (
    "For everyone who loves {match}: {title}",
    "{title}: made for your love of {match}",
    "More {match} for you: {title}",
    "Your {match} {noun} of the day: {title}",
    "{title}, where {match} meets {match2}",
    "Because {match} is your thing: {title}",
    "{title} brings {match} right to you",
    "A fresh take on {match}: {title}",
    "Still into {match}? Meet {title}",
    "Here is one for {match} fans: {title}",
    "Time for something beyond {like}: {title}",
    "{title}: a change from {like}",
    "Away from {like} for a moment: {title}",
    "{title}, for when {like} can wait",
    "Taking a break from {like}? Here is {title}",
    "Not {like} this time: {title}",
    "Discover {title}",
    "A {noun} worth your time: {title}",
    "{title} is waiting for you",
    "Say hello to {title}",
    "New for you today: {title}",
    "{title}: a closer look at {category}",
    "Today in {category}: {title}",
    "{title}, a touch of {tag}",
    "All about {tag}: {title}",
    "{title}: where {category} meets {tag}",
)

HEADLINE_DOMAIN = {
    "e-commerce": (
        "Add some {match} to your basket: {title}",
        "Treat yourself to {match} with {title}",
        "Worth a place in your home: {title}",
        "Spotted for you in the shop: {title}",
    ),
    "social": (
        "People are talking about {match}: {title}",
        "Join the talk on {match}: {title}",
        "Have you seen this one? {title}",
        "Everyone is sharing {title}",
    ),
    "news": (
        "What is new in {match}: {title}",
        "Your {match} briefing: {title}",
        "In the news for you: {title}",
        "Worth reading today: {title}",
    ),
    "education": (
        "Go further in {match} with {title}",
        "Learn more about {match}: {title}",
        "Start learning with {title}",
        "Your next lesson: {title}",
    ),
    "entertainment": (
        "Tonight belongs to {match}: {title}",
        "Your next {match} evening: {title}",
        "Settle in with {title}",
        "Next on your list: {title}",
    ),
}

REASON = (
    "You often come back to {match}, so {title} should suit you well.",
    "Because you like {match}, we think you will enjoy {title}.",
    "{title} is all about {match}, which is close to your heart.",
    "Your interest in {match} led us straight to {title}.",
    "With both {match} and {match2} in it, {title} fits you perfectly.",
    "{title} matches your taste for {match}.",
    "Since {match} keeps drawing you in, {title} is a natural next step.",
    "If {match} is what you are after, {title} is a {noun} to {verb}.",
    "We picked {title} for you because of your love of {match}.",
    "Few things say {match} quite like {title}, so we thought of you.",
    "You usually go for {like}, and {title} offers something different.",
    "{title} is a step away from {like}, just to keep things fresh.",
    "Besides {like}, you may also enjoy {title}.",
    "For a change from {like}, {title} is a good place to start.",
    "You know {like} well, so let {title} surprise you.",
    "{title} could be a pleasant break from {like}.",
    "{title} is a {noun} that deserves a moment of your time.",
    "We think {title} is worth a closer look.",
    "Take a moment for {title}, a {noun} that stands out.",
    "{title} could be just what you were looking for.",
    "Here is {title}, chosen for you today.",
    "If you are curious about {category}, start with {title}.",
    "{title} is a good way into {category}.",
    "{title} stands out for its touch of {tag}.",
    "Anyone who enjoys {tag} should {verb} {title}.",
    "{title} brings {category} and {tag} together.",
)

REASON_DOMAIN = {
    "e-commerce": (
        "{title} would sit nicely beside the other {match} things you chose.",
        "Shoppers who care about {match}, like you, should see {title}.",
        "{title} is easy to like and easy to use every day.",
        "{title} makes a lovely gift for yourself or for someone else.",
    ),
    "social": (
        "You follow {match} closely, and {title} adds to the conversation.",
        "{title} is the kind of {match} post that you like to share.",
        "{title} is getting people to talk, so have your say.",
        "Take a minute for {title} and tell others what you think.",
    ),
    "news": (
        "You keep an eye on {match}, and {title} brings you up to date.",
        "{title} is today's {match} story that you should not miss.",
        "{title} tells you what happened and why it matters.",
        "Read {title} to stay well informed today.",
    ),
    "education": (
        "You have been learning about {match}, and {title} takes you further.",
        "{title} builds on what you know about {match}.",
        "{title} explains things step by step, at your own pace.",
        "With {title} you can learn something new this week.",
    ),
    "entertainment": (
        "Your evenings with {match} could go on with {title}.",
        "{title} has the {match} that you keep coming back for.",
        "{title} is a fine choice for a quiet evening.",
        "Make yourself comfortable and enjoy {title}.",
    ),
}

SUMMARY_OPENERS = (
    "{title} is a {noun} about {category}.",
    "{title} is a {noun} with a touch of {tag}.",
    "{title} belongs to {category} and leans towards {tag}.",
    "At the centre of {title} is {tag}.",
    "{title} takes you into {category}.",
    "In {title}, {category} comes first.",
    "{title} gathers {tag} and {tag2} in one place.",
    "With {title} you get {category} at its best.",
    "{title} is a {noun} to remember.",
    "Meet {title}, a {noun} with a character of its own.",
    "{title} is simple, clear and pleasant.",
    "There is more to {title} than you might expect.",
    "{title} speaks for itself.",
)

SUMMARY_CLOSERS = (
    "It fits well with your interest in {match}.",
    "If {match} is your thing, this is for you.",
    "Your love of {match} makes it a natural choice.",
    "It has the {match} that you like.",
    "You will find both {match} and {match2} in it.",
    "People who love {match}, as you do, should {verb} it.",
    "It is a change from {like}, and a good one.",
    "It may surprise you if you usually go for {like}.",
    "Give {like} a rest and {verb} it.",
    "It is well worth your time.",
    "Have a look and see if it suits you.",
    "It is an easy one to like.",
    "You may well come back to it.",
)

SUMMARY_CLOSERS_DOMAIN = {
    "e-commerce": ("It is ready to go into your basket.", "It looks good at home or as a gift."),
    "social": ("Read it and join the conversation.", "Share it with someone who would care."),
    "news": ("Read on to learn what it means.", "It is a short read for today."),
    "education": ("You can learn it at your own pace.", "Every lesson takes you one step further."),
    "entertainment": ("Save it for a quiet evening.", "It is a good one to share with friends."),
}
