"""How good a model is: measures as functions of whole data and as objects that gather over batches.

    metrics.accuracy(scores, labels)                        one call

    measure = metrics.Accuracy()                            batch by batch
    for x, labels in loader:
        measure.update(model(x), labels)
    measure.compute(); measure.reset()

Predictions come first, then what is true. Classes are given as class indices in the shape of the
target, or as scores with the classes along axis 1, of which the largest counts. For two classes
floating point scores in the target's shape are compared with `threshold`.
"""
from .base import Metric as Metric
from .counts import (F1 as F1, Accuracy as Accuracy, ConfusionMatrix as ConfusionMatrix, Dice as Dice, IoU as IoU,
                     Precision as Precision, Recall as Recall, accuracy as accuracy,
                     confusion_matrix as confusion_matrix, dice as dice, f1 as f1, iou as iou, mean_iou as mean_iou,
                     precision as precision, recall as recall)
from .ranking import (ROCAUC as ROCAUC, TopKAccuracy as TopKAccuracy, roc_auc as roc_auc, roc_curve as roc_curve,
                      top_k_accuracy as top_k_accuracy)
from .regression import (MAE as MAE, MSE as MSE, PearsonCorrelation as PearsonCorrelation, mae as mae, mse as mse,
                         pearson as pearson)
