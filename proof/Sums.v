(* SPDX-License-Identifier: Apache-2.0 *)
(** Finite sums. *)
From Coq Require Import Reals Arith Lra Lia.
From Thermoe Require Import Finite.
Open Scope R_scope.

Lemma sum_ext n f g : (forall i, (i < n)%nat -> f i = g i) -> sum n f = sum n g.
Proof. induction n; simpl; intros H; [reflexivity | rewrite H by lia; rewrite IHn; auto with arith]. Qed.

Lemma sum_zero n : sum n (fun _ => 0) = 0.
Proof. induction n; simpl; lra. Qed.

Lemma sum_plus n f g : sum n (fun i => f i + g i) = sum n f + sum n g.
Proof. induction n; simpl; lra. Qed.

Lemma sum_scale n c f : sum n (fun i => c * f i) = c * sum n f.
Proof. induction n; simpl; lra. Qed.

Lemma sum_le n f g : (forall i, (i < n)%nat -> f i <= g i) -> sum n f <= sum n g.
Proof.
  induction n; simpl; intros H; [lra | pose proof (H n ltac:(lia))].
  pose proof (IHn ltac:(intros; apply H; lia)). lra.
Qed.

Lemma sum_nonneg n f : (forall i, (i < n)%nat -> 0 <= f i) -> 0 <= sum n f.
Proof. intros H. rewrite <- (sum_zero n). now apply sum_le. Qed.

(** A sum of nonnegative terms that is not positive has no positive term. *)
Lemma sum_vanishes n f :
  (forall i, (i < n)%nat -> 0 <= f i) -> sum n f <= 0 -> forall i, (i < n)%nat -> f i = 0.
Proof.
  induction n; simpl; intros H total i Hi; [lia |].
  pose proof (H n ltac:(lia)).
  pose proof (sum_nonneg n f ltac:(intros; apply H; lia)).
  destruct (Nat.eq_dec i n) as [-> | ]; [lra |].
  apply IHn; [intros; apply H; lia | lra | lia].
Qed.

(** The one term that an index picks out. *)
Lemma sum_pick n j f : (j < n)%nat -> sum n (fun l => if (j =? l)%nat then f l else 0) = f j.
Proof.
  induction n; simpl; intros Hj; [lia |].
  destruct (Nat.eqb_spec j n) as [-> | ].
  - rewrite (sum_ext n _ (fun _ => 0)); [rewrite sum_zero; lra |].
    intros i Hi. destruct (Nat.eqb_spec n i); [lia | reflexivity].
  - rewrite IHn by lia. lra.
Qed.

Lemma sum2_ext m n f g :
  (forall i e, (i < m)%nat -> (e < n)%nat -> f i e = g i e) -> sum2 m n f = sum2 m n g.
Proof. intros H. apply sum_ext. intros. apply sum_ext. auto. Qed.

Lemma sum2_le m n f g :
  (forall i e, (i < m)%nat -> (e < n)%nat -> f i e <= g i e) -> sum2 m n f <= sum2 m n g.
Proof. intros H. apply sum_le. intros. apply sum_le. auto. Qed.

Lemma sum2_plus m n f g : sum2 m n (fun i e => f i e + g i e) = sum2 m n f + sum2 m n g.
Proof. unfold sum2. rewrite <- sum_plus. apply sum_ext. intros. apply sum_plus. Qed.

Lemma sum2_scale m n c f : sum2 m n (fun i e => c * f i e) = c * sum2 m n f.
Proof. unfold sum2. rewrite <- sum_scale. apply sum_ext. intros. apply sum_scale. Qed.

Lemma sum2_minus m n f g : sum2 m n (fun i e => f i e - g i e) = sum2 m n f - sum2 m n g.
Proof.
  rewrite (sum2_ext m n _ (fun i e => f i e + (-1) * g i e)) by (intros; lra).
  rewrite sum2_plus, sum2_scale. lra.
Qed.

Lemma sum2_mix m n a f g :
  sum2 m n (fun i e => a * f i e + (1 - a) * g i e) = a * sum2 m n f + (1 - a) * sum2 m n g.
Proof. rewrite sum2_plus, !sum2_scale. reflexivity. Qed.

Lemma sum2_vanishes m n f :
  (forall i e, (i < m)%nat -> (e < n)%nat -> 0 <= f i e) -> sum2 m n f <= 0 ->
  forall i e, (i < m)%nat -> (e < n)%nat -> f i e = 0.
Proof.
  intros H total i e Hi He.
  apply (sum_vanishes n (f i)); [auto | | exact He].
  apply Req_le, (sum_vanishes m (fun i => sum n (f i))); [| exact total | exact Hi].
  intros. apply sum_nonneg. auto.
Qed.

(** Σ_j over an outer sum: Σ_l Σ_e Σ_j = Σ_j Σ_l Σ_e. *)
Lemma sum2_sum m n c (f : nat -> nat -> nat -> R) :
  sum2 m n (fun l e => sum c (fun j => f j l e)) = sum c (fun j => sum2 m n (f j)).
Proof.
  induction c; simpl.
  - rewrite (sum2_ext m n _ (fun _ _ => 0 * 0)) by (intros; lra). rewrite sum2_scale. lra.
  - rewrite sum2_plus, IHc. reflexivity.
Qed.
