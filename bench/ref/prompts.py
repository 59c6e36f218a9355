"""Twenty prompts whose greedy continuations are compared."""

PROMPTS = [
    "The capital of France is",
    "Water boils at",
    "Once upon a time, in a small village by the sea,",
    "The three laws of motion are",
    "def fibonacci(n):\n    ",
    "#include <stdio.h>\n\nint main(void)\n{\n",
    "Question: What is 17 + 25?\nAnswer:",
    "Translate to French: Good morning, my friend.\n",
    "Dear Sir or Madam,\n\nI am writing to",
    "The main difference between a virus and a bacterium is",
    "Ingredients:\n- 2 eggs\n- 200 g flour\n-",
    "In 1969, humans first",
    "Photosynthesis is the process by which",
    "Review: The acting was wooden and the plot made no sense.\nSentiment:",
    "List five animals that live in the ocean:\n1.",
    "La vie est",
    "SELECT name, age FROM users WHERE",
    "To be, or not to be, that is",
    "A train leaves the station at 3 pm and travels 60 miles per hour. After 2 hours",
    "Machine learning models are trained by",
]
