"""Albums: photos in sessions, rules about what they show, exact answers, and pages that say why."""
