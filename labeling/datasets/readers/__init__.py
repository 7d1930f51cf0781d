"""Reading COCO records, label images and boxes."""
