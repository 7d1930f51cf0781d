"""Label Studio: masks, tasks and annotations on their way there and back."""
