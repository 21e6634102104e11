"""Teachers for distillation: their answers over ImageNet's classes, stored beside a data set."""
