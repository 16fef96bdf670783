"""Short tales made from plots, for requests such as "Tell me a story about a fox and a well."

A plot is a list of steps; a step is a list of sentences to choose from. {hero}, {friend}, {place},
{thing} and {food} are filled in; {He}, {he}, {his} and {him} follow the hero. Every tale is whole:
it begins, something happens, and it ends.
"""
from . import world

FEMALE = set("queen princess witch goose-girl weaver cook goose hen cow squirrel otter cat".split())
PRONOUNS = (("He", "he", "his", "him"), ("She", "she", "her", "her"))

BEGIN = ["Once upon a time there was {a_hero} who lived {where}.", "There was once {a_hero} who lived {where}.",
         "Long ago {a_hero} lived {where}.", "In the old days there lived {a_hero} {where}.",
         "Once there was {a_hero}, and {he} lived {where}."]
NATURE = ["{He} was {trait}, and everyone knew it.", "{He} was {trait}, but {he} was often alone.",
          "All the neighbours said that {he} was {trait}.", "{He} was {trait} and had little to eat.", ""]
END = ["And they lived happily ever after.", "And if they have not died, they are living there still.",
       "And from that day on they were the best of friends.", "And so they lived in peace to the end of their days.",
       "And {he} never forgot it as long as {he} lived.", "And there was a great feast, and everyone was glad."]
TRAITS = """kind and brave|very clever|poor but honest|proud|lazy|small but quick|always hungry|gentle|
merry|very old and wise|stubborn|curious""".replace("\n", "").split("|")
WEATHER = ["One cold morning", "One day", "One evening", "One fine summer day", "When the snow lay deep", "One night",
           "At the end of the year", "One stormy night"]

PLOTS = {
    "lost": [
        ["{weather} {he} lost {his} {thing} {at_place}.", "{weather} {his} {thing} fell down {at_place}, and {he} could not find it."],
        ["{He} sat down and wept.", "{He} looked for it all day long, but in vain.", "{He} looked here and {he} looked there, and found nothing."],
        ["Then {a_friend} came by and asked, \"Why are you so sad?\"", "Soon {a_friend} passed that way and said, \"What is the matter?\""],
        ["\"I have lost my {thing},\" said the {hero}.", "The {hero} told the {friend} everything."],
        ["\"Give me {food}, and I will help you,\" said the {friend}.", "\"Do not weep,\" said the {friend}, \"for I have sharp eyes.\""],
        ["The {friend} went straight to the {place} and brought the {thing} back.", "So the {friend} searched {at_place} and soon found the {thing}."],
        ["The {hero} thanked the {friend} and shared {his} supper with {him_friend}.", "\"You are a true friend,\" said the {hero}."],
    ],
    "trick": [
        ["{weather} {he} met {a_friend} {at_place}.", "{weather} {a_friend} came to the {place} and said, \"Now I shall eat you up.\""],
        ["\"You are in my way,\" said the {friend}. \"Go, or I will throw you into the river.\"", "\"This {place} is mine,\" cried the {friend}, \"and no one may pass.\""],
        ["But the {hero} was not afraid.", "The {hero} thought for a while and smiled."],
        ["\"Wait,\" said the {hero}, \"there is {a_thing} hidden {at_place}, and it is worth more than I am.\"", "\"I know where {a_thing} lies,\" said the {hero}. \"Look down there, {at_place}.\""],
        ["The {friend} was greedy and bent down to look.", "The {friend} ran to see it, and saw only the moon in the water."],
        ["Then the {hero} gave {him_friend} a push and ran home as fast as {he} could.", "While the {friend} was looking, the {hero} shut the gate and laughed."],
        ["And the {friend} never came back to the {place}.", "The {friend} was ashamed and went away, and nobody saw {him_friend} again."],
    ],
    "wish": [
        ["{weather} {he} found {a_thing} {at_place}.", "{weather}, as {he} was walking home, {he} saw {a_thing} shining {at_place}."],
        ["{He} picked it up, and a voice said, \"You may have one wish.\"", "When {he} touched it, {a_friend} stood before {him} and said, \"Wish for what you will.\""],
        ["\"I wish for {food} every day,\" said the {hero}.", "\"I wish that I were never hungry again,\" said the {hero}.", "\"I wish for a friend,\" said the {hero}."],
        ["And as soon as {he} had spoken, it was so.", "No sooner said than done."],
        ["But the {friend} who lived near by heard of it and grew envious.", "Soon {a_friend} heard of it and came to steal the {thing}."],
        ["At night the {friend} crept to the {place}, but the {thing} turned to stone in {his_friend} hands.", "But the {thing} would not obey the {friend}, and {he_friend} went home with nothing."],
        ["The {hero} forgave {him_friend}, and they ate together.", "So the {hero} kept the {thing} and used it well."],
    ],
    "help": [
        ["{weather} {he} heard someone crying {at_place}.", "{weather} {he} went to the {place} to fetch water and heard a cry."],
        ["It was {a_friend} who had fallen and could not get up.", "There was {a_friend}, caught fast in a net."],
        ["\"Help me,\" said the {friend}, \"and I will reward you.\"", "\"Set me free,\" begged the {friend}, \"and one day I will help you too.\""],
        ["The {hero} had pity on {him_friend} and set {him_friend} free.", "So the {hero} took {a_rope} and pulled {him_friend} out."],
        ["A year went by, and the {hero} fell into great trouble.", "Not long after, a cruel giant caught the {hero} and locked {him} up."],
        ["Then the {friend} came in the night with {a_thing} and opened the door.", "But the {friend} had not forgotten, and came with {a_thing} and saved {him}."],
        ["\"One good turn deserves another,\" said the {friend}.", "\"Now we are even,\" said the {friend}."],
    ],
    "journey": [
        ["{weather} {he} set out into the wide world to seek {his} fortune.", "{weather} {he} said, \"I will go and see the world.\""],
        ["{He} took nothing with {him} but {a_thing} and {food}.", "In {his} bag {he} had {a_thing} and {food}."],
        ["After a long way {he} came to a {place}, and there sat {a_friend}.", "On the third day {he} met {a_friend} {at_place}."],
        ["\"I have eaten nothing for three days,\" said the {friend}.", "\"Give me something to eat,\" said the {friend}."],
        ["The {hero} gave {him_friend} all that {he} had.", "So the {hero} shared {his} {food} with {him_friend}."],
        ["\"Because you have a good heart,\" said the {friend}, \"I will show you a treasure.\"", "Then the {friend} led {him} to a door {at_place}, and behind it lay a heap of gold."],
        ["The {hero} carried home as much as {he} could, and gave half of it to the poor.", "So the {hero} came home a rich man's equal, and nobody was hungry any more."],
    ],
    "contest": [
        ["{weather} {he} quarrelled with {a_friend} about who was the stronger.", "{weather} {a_friend} boasted that nobody could beat {him_friend}."],
        ["\"Let us see who is first at the {place},\" said the {hero}.", "\"Whoever brings the {thing} from the {place} has won,\" said the {hero}."],
        ["The {friend} laughed and lay down to sleep, for {he_friend} thought {he_friend} had time enough.", "The {friend} ran like the wind, but {he_friend} stopped on the way to eat {food}."],
        ["But the {hero} went on, step by step, and did not rest.", "The {hero} did not stop once, neither to eat nor to drink."],
        ["When the {friend} came to the {place}, the {hero} was there already.", "In the evening the {hero} stood {at_place} with the {thing} in {his} hands."],
        ["\"You have won,\" said the {friend}, \"and I will never boast again.\"", "The {friend} hung {his_friend} head and went home."],
    ],
    "gift": [
        ["{weather} the {friend} of the land fell ill, and nobody could cure {him_friend}.", "{weather} it was made known that the {friend} had lost {his_friend} laughter."],
        ["\"Whoever makes me well shall have my {thing},\" said the {friend}.", "\"I will give {a_thing} to whoever can help,\" it was said."],
        ["Many came with gold and silver, but all in vain.", "Doctors came from far and near, but none of them knew what to do."],
        ["The {hero} had nothing but {food} from the {place}.", "The {hero} had only {food}, which {he} had brought from the {place}."],
        ["{He} gave it gladly, and the {friend} tasted it and smiled.", "When the {friend} had eaten it, {he_friend} sprang up and was well."],
        ["So the {hero} got the {thing} and kept it {where}.", "\"Take the {thing},\" said the {friend}, \"for you gave what you had.\""],
    ],
}


def article(noun):
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _pronouns(noun):
    return PRONOUNS[noun in FEMALE]


def make_tale(rng, hero, friend, place, thing, most=None):
    """Text of a tale in which all four occur; or at most so many sentences from somewhere in it."""
    he, friend_he = _pronouns(hero), _pronouns(friend)
    words = {
        "hero": hero, "friend": friend, "place": place, "thing": thing, "food": rng.choice(world.FOODS),
        "a_hero": article(hero), "a_friend": article(friend), "a_thing": article(thing), "a_rope": "a rope",
        "where": f"{rng.choice(('near', 'beside', 'not far from', 'by'))} {article(rng.choice(world.PLACES))}",
        "at_place": f"{rng.choice(('near', 'beside', 'by'))} the {place}",
        "trait": rng.choice(TRAITS), "weather": rng.choice(WEATHER),
        "He": he[0], "he": he[1], "his": he[2], "him": he[3],
        "he_friend": friend_he[1], "his_friend": friend_he[2], "him_friend": friend_he[3],
    }
    steps = [BEGIN, NATURE, *PLOTS[rng.choice(list(PLOTS))], END]
    sentences = [rng.choice(step).format(**words) for step in steps]
    sentences = [s for s in sentences if s]
    first = rng.randrange(len(sentences) - most + 1) if most else 0
    return " ".join(sentences[first : first + most] if most else sentences)
